/** The console at `/`: static files, which are built when their sources have changed. */
import { createHash } from "node:crypto";
import { extname, join, relative } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { inRepository } from "./paths.ts";
import { problem, type Route } from "./server.ts";
import { answerFile, etagOf, type StaticFile, types } from "./static_files.ts";

/** The strictest policy that the console can live under. Other hosts name the project in connect-src. */
export const consoleHeaders = {
  "content-security-policy": [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    // One policy, which gives a single constant address: that of the worker that verifies exports.
    "trusted-types bulwark-verifier",
  ].join("; "),
  "cross-origin-opener-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

/** Serves the console, and its `config.json` with the values that it needs. */
export function serveConsole(config: { publishableKey: string }): Route {
  let built: Promise<Built> | undefined;
  /** The page itself looks for changed sources, so that a reload shows them. */
  const current = async (isPage: boolean): Promise<Built> => {
    const before = await built?.catch(() => undefined);
    if (before && !isPage) return before;
    return await (built = builtConsole(before));
  };
  return {
    prefix: "/",
    async fetch(request) {
      const { pathname } = new URL(request.url);
      if (!/^(GET|HEAD)$/.test(request.method)) return problem(404, "NOT_FOUND", "No such path");
      if (pathname === "/config.json") {
        return Response.json(config, {
          headers: { ...consoleHeaders, "cache-control": "no-store" },
        });
      }
      if (!/^\/(?:assets\/)?[\w.-]*$/.test(pathname)) {
        return problem(404, "NOT_FOUND", "No such path");
      }
      const { files } = await current(pathname === "/");
      const file = files.get(pathname === "/" ? "/index.html" : pathname);
      return file ? answer(request, pathname, file) : problem(404, "NOT_FOUND", "No such path");
    },
  };
}

function answer(request: Request, pathname: string, file: StaticFile): Response {
  return answerFile(request, file, {
    ...consoleHeaders,
    "cache-control": pathname.startsWith("/assets/")
      ? "public, max-age=31536000, immutable"
      : "no-cache",
  });
}

interface Built {
  folder: string;
  files: Map<string, StaticFile>;
}

async function builtConsole(before: Built | undefined): Promise<Built> {
  const folder = await buildConsole();
  return folder === before?.folder ? before : { folder, files: await readFiles(folder) };
}

/** The folder of the built console; builds it if there is none of these sources. */
export async function buildConsole(): Promise<string> {
  const folder = inRepository("node_modules", ".cache", `console-${await hashOfSources()}`);
  if (await Deno.stat(folder).then(() => true, () => false)) return folder;
  const building = `${folder}.${crypto.randomUUID()}`;
  try {
    const vite = inRepository("node_modules", "vite", "bin", "vite.js");
    const { success, stderr } = await new Deno.Command("node", {
      args: [
        vite,
        "build",
        inRepository("console"),
        ...["--outDir", building, "--emptyOutDir", "--logLevel", "error"],
      ],
      cwd: inRepository("console"),
      stdout: "null",
    }).output();
    if (!success) {
      throw new Error(`Cannot build the console: ${new TextDecoder().decode(stderr).trim()}`);
    }
    for await (const path of filesIn(building)) {
      const content = await Deno.readFile(path);
      await Deno.writeFile(`${path}.br`, brotliCompressSync(content));
      await Deno.writeFile(`${path}.gz`, gzipSync(content, { level: 9 }));
    }
    // Another process may have built the same.
    await Deno.rename(building, folder).catch(async (thrown) => {
      if (!await Deno.stat(folder).then(() => true, () => false)) throw thrown;
    });
    return folder;
  } finally {
    await Deno.remove(building, { recursive: true }).catch(() => {});
  }
}

async function hashOfSources(): Promise<string> {
  const hash = createHash("sha256");
  const paths = [inRepository("package-lock.json")];
  for (const folder of [inRepository("console"), inRepository("clients", "js", "src")]) {
    for await (const path of filesIn(folder)) paths.push(path);
  }
  for (const path of paths.sort()) {
    hash.update(`${relative(inRepository(), path)}\0`);
    hash.update(await Deno.readFile(path));
  }
  return hash.digest("hex").slice(0, 16);
}

async function* filesIn(folder: string): AsyncGenerator<string> {
  const found = await Array.fromAsync(Deno.readDir(folder));
  for (const { name, isDirectory } of found) {
    const path = join(folder, name);
    if (isDirectory) yield* filesIn(path);
    else yield path;
  }
}

async function readFiles(folder: string): Promise<Map<string, StaticFile>> {
  const files = new Map<string, StaticFile>();
  for await (const path of filesIn(folder)) {
    const type = types[extname(path)];
    if (!type) continue;
    const bodies = new Map([["identity", await Deno.readFile(path)]]);
    for (const [encoding, ending] of [["br", "br"], ["gzip", "gz"]] as const) {
      bodies.set(encoding, await Deno.readFile(`${path}.${ending}`));
    }
    const etag = etagOf(bodies.get("identity")!);
    files.set(`/${relative(folder, path).replaceAll("\\", "/")}`, { type, etag, bodies });
  }
  return files;
}
