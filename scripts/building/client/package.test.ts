/** The built package of the client library, as projects install it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { checkPackage, createPackageFromTarballData } from "@arethetypeswrong/core";
import { build, stop } from "esbuild";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { blocksOf } from "../../documents/blocks.ts";
import { pages, textOf } from "../../documents/markdown.ts";
import { programOf } from "../../documents/program.ts";
import { currentDeno } from "../../stack/binaries.ts";
import { inRepository } from "../../stack/paths.ts";
import { makeScratchFolder } from "../../stack/scratch.ts";
import { buildClient, run } from "./package.ts";

const scratch = await makeScratchFolder("client-package");
const { tarball, consumer } = await buildClient(scratch.path);
const installed = join(consumer, "node_modules", "@bulwark", "client");
const manifest = JSON.parse(await Deno.readTextFile(join(installed, "package.json")));

Deno.test("CLIENT-01: publint and attw find nothing", async () => {
  const { messages } = await publint({ pkgDir: installed, strict: true, pack: false });
  assert.deepEqual(messages.map((message) => formatMessage(message, manifest)), []);
  const checked = await checkPackage(createPackageFromTarballData(await Deno.readFile(tarball)));
  assert.ok(checked.types);
  // The package is ESM alone; Node 20.19 and newer can require() it.
  const problems = checked.problems.filter(({ kind }) => kind !== "CJSResolvesToESM")
    // Resolution without "exports" cannot find subpaths.
    .filter((problem) => !("resolutionKind" in problem && problem.resolutionKind === "node10"));
  assert.deepEqual(problems, []);
});

Deno.test("CLIENT-02: it has the version of Bulwark, no dependency and no side effect", async () => {
  const { version, peerDependencies } = JSON.parse(
    await Deno.readTextFile(inRepository("package.json")),
  );
  assert.equal(peerDependencies, undefined);
  assert.equal(manifest.version, version);
  assert.equal(manifest.dependencies, undefined);
  assert.equal(manifest.sideEffects, false);
});

Deno.test("CLIENT-03: the core is below 8 kB, compressed", async () => {
  const size = await compressedSize(
    `export { createBulwark, BulwarkError } from "@bulwark/client";`,
  );
  assert.ok(size < 8 * 1024, `${size} bytes`);
  assert.ok(size > 1024, `${size} bytes`);
  const error = await compressedSize(`export { BulwarkError } from "@bulwark/client";`);
  assert.ok(error < 400, `the error alone takes ${error} bytes: something has side effects`);
});

Deno.test("CLIENT-24: the verifier of exports is below 20 kB, compressed, and evaluates no text", async () => {
  const source = `export { verifyExport } from "@bulwark/client/audit";`;
  const size = await compressedSize(source);
  assert.ok(size < 20 * 1024, `${size} bytes`);
  assert.ok(size > 4096, `${size} bytes`);
  // A page with a strict policy allows neither, nor WebAssembly.
  assert.doesNotMatch(await bundled(source), /\beval\(|\bFunction\(|WebAssembly|node:/);
});

const program = `
import { createBulwark, type BulwarkError, type Permission } from "@bulwark/client";
import { apiKeyToken } from "@bulwark/client/api-key";
import { type ExportVerdict, VerificationError, verifyExport } from "@bulwark/client/audit";
import { codes, textOf } from "@bulwark/client/errors";
import { BulwarkProvider, Can, useCan, useWhoami } from "@bulwark/client/react";
import { bulwarkQueries } from "@bulwark/client/react-query";
import { verifyWebhook } from "@bulwark/client/webhooks";
import {
  QueryClient,
  useInfiniteQuery,
  useMutation,
  useQuery,
  useSuspenseQuery,
} from "@tanstack/react-query";
import { createElement, type ReactElement } from "react";
import { createClient } from "@supabase/supabase-js";

declare module "@bulwark/client" {
  interface Permissions { "invoice:approve": true }
}

const supabase = createClient("https://project.example", "key");
const bulwark = createBulwark(supabase);
const strict = createBulwark(supabase, { throwOnError: true, onVerificationRequired: async () => null });

export async function main(id: string): Promise<string> {
  const own: Permission = "invoice:approve";
  const { data: allowed, error } = await bulwark.can(own, id);
  if (error) return textOf(error);
  const known: boolean = allowed;
  // @ts-expect-error a typo
  await bulwark.can("analytics:raed", id);
  const all = await strict.canAll(["analytics:read", "invoice:approve"], id);
  const answer: boolean = all["invoice:approve"] && known;
  // @ts-expect-error it was not asked for
  all["audit:read"];
  const made = await bulwark.organizations.create({ name: "Acme", slug: "acme" });
  // @ts-expect-error there may be no data
  made.data.id;
  if (made.error) {
    if (made.error.code === "RBAC_SLUG_TAKEN") return "taken";
    // @ts-expect-error no such code
    if (made.error.code === "RBAC_SLUG_TOKEN") return "typo";
    throw made.error;
  }
  const text: string = made.data.id;
  const { permissions } = await strict.permissions(text);
  // @ts-expect-error null while nothing has changed
  permissions.length;
  const keys = await strict.apiKeys.list(text);
  const lastUsed: string | null = keys[0]!.last_used_at;
  // @ts-expect-error a key that was never used
  const used: string = keys[0]!.last_used_at;
  await strict.apiKeys.create(text, { name: "import", scopes: ["analytics:read", own], networks: undefined });
  const { factors } = await strict.mfa.status();
  for await (const entry of bulwark.audit.entries({ organization_id: text })) {
    const shown: string = entry.event_type;
    const details: unknown = entry.details?.["x"];
    if (!shown) return String(details);
  }
  const stream: ReadableStream<Uint8Array> = bulwark.audit.export({ organization: text });
  const verdict: ExportVerdict = await verifyExport(stream, { keys: ["key"], organization: text });
  const altered: string | undefined = verdict.findings[0]?.entry;
  // @ts-expect-error no trusted key
  await verifyExport(new Blob([]), {}).catch((thrown) => thrown instanceof VerificationError);
  const refused: BulwarkError | null = (await bulwark.roles.delete(text, "x")).error;
  return [answer, lastUsed, used, factors?.[0]?.name, altered, refused?.retryAfter, codes].join();
}

export function Page(): ReactElement {
  const can = useCan("invoice:approve", null);
  // @ts-expect-error it may be unknown
  const known: boolean = can;
  // @ts-expect-error nobody may be known
  useWhoami().data.user;
  // @ts-expect-error a typo
  createElement(Can, { do: "analytics:raed", in: null });
  // @ts-expect-error hooks give { data, error }
  createElement(BulwarkProvider, { client: strict, account: null });
  return createElement(BulwarkProvider, { client: bulwark, account: null }, known);
}

const queries = bulwarkQueries(strict);
// @ts-expect-error it takes a client that throws
bulwarkQueries(bulwark);

export function usePeople(id: string): (string | undefined)[] {
  const { data: members, error } = useQuery(queries.members.list(id, { search: "eve" }));
  const code: BulwarkError["code"] | undefined = error?.code;
  // @ts-expect-error there may be no data
  members.length;
  // @ts-expect-error a typo
  queries.members.list(id, { serch: "eve" });
  // @ts-expect-error a stream is no query
  queries.audit.export;
  const may: boolean | undefined = useQuery(queries.can("invoice:approve", id)).data;
  // @ts-expect-error a typo
  queries.can("analytics:raed", id);
  const me: string = useSuspenseQuery(queries.whoami()).data.user.id;
  const { data: log } = useInfiniteQuery(queries.audit.entries({ organization_id: id }));
  const types: string[] = (log?.pages ?? []).flatMap(({ entries }) => entries)
    .map((entry) => entry.event_type);
  const grant = useMutation(queries.roles.grant());
  grant.mutate([{ user: me, role: "viewer", organization: id }]);
  // @ts-expect-error the role is missing
  grant.mutate([{ user: me }]);
  const codes = useMutation(queries.mfa.newBackupCodes());
  codes.mutate();
  const fresh: string[] | undefined = codes.data?.backup_codes;
  const cached: string | undefined = new QueryClient()
    .getQueryData(queries.organizations.list().queryKey)?.[0]?.slug;
  const key: readonly ["bulwark", "members"] = queries.members.queryKey;
  return [members?.[0]?.name ?? code, String(may), ...types, ...fresh ?? [], cached, ...key];
}

export const token = apiKeyToken({ url: "https://project.example", apiKey: "key" });
export const verified = verifyWebhook(new Request("https://project.example"), ["whsec_"]);
`;

/** Everything of the package, without supabase-js, whose own declarations have errors. */
const everything = Object.keys(manifest.exports)
  .filter((subpath) => subpath !== "./package.json")
  .map((subpath) => `export * from ${JSON.stringify(join("@bulwark/client", subpath))};`);

for (const compiler of ["typescript-5.5", "typescript", "typescript-7"]) {
  Deno.test(`CLIENT-04: its types hold in strict projects, with ${compiler}`, async () => {
    const project = join(consumer, compiler);
    await Deno.mkdir(project);
    await Deno.writeTextFile(join(project, "main.ts"), program);
    await Deno.writeTextFile(join(project, "everything.ts"), everything.join("\n"));
    const check = (file: string, module: string, resolution: string, ...more: string[]) =>
      run("node", [
        inRepository("node_modules", compiler, "bin", "tsc"),
        ...["--noEmit", "--strict", "--target", "ES2022"],
        ...["--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess"],
        ...["--module", module, "--moduleResolution", resolution, ...more, join(project, file)],
      ]);
    await check("main.ts", "NodeNext", "NodeNext", "--types", "node", "--skipLibCheck");
    // In a page: without the types of Node.
    const noTypes = ["--typeRoots", project];
    await check("everything.ts", "ESNext", "Bundler", "--lib", "ES2022,DOM", ...noTypes);
  });
}

Deno.test("CLIENT-20: the React bindings use names alone that React 18 has, too", async () => {
  const bindings = await Deno.readTextFile(join(installed, "dist", "react.js"));
  const names = /import \{([^}]*)\} from "react"/.exec(bindings)?.[1]?.match(/\w+/g) ?? [];
  assert.ok(names.length > 4);
  const old = await import("react-18");
  assert.match(old.version, /^18\./);
  assert.deepEqual(names.filter((name) => !(name in old)), []);
});

Deno.test("DOCS-02: the js and ts blocks of all documents are free of type errors", async () => {
  const shared = pathToFileURL(inRepository("supabase", "functions", "_bulwark")).href;
  const programs: string[] = [];
  for (const page of [...await pages(), "clients/js/README.md"]) {
    const program = programOf(blocksOf(await textOf(page)), { run: false });
    if (!program) continue;
    const path = join(consumer, `${page.replaceAll("/", "_").slice(0, -".md".length)}.tsx`);
    // Edge functions import the shared code that is beside them.
    await Deno.writeTextFile(path, program.replaceAll(/"(?:\.\.\/)+_bulwark\//g, `"${shared}/`));
    programs.push(path);
  }
  assert.ok(programs.length > 8);
  const config = join(consumer, "deno.json");
  await Deno.writeTextFile(
    config,
    JSON.stringify({
      nodeModulesDir: "manual",
      compilerOptions: {
        ...JSON.parse(await Deno.readTextFile(inRepository("deno.json"))).compilerOptions,
        jsx: "react-jsx",
        lib: ["deno.window", "dom", "dom.iterable", "dom.asynciterable"],
      },
    }),
  );
  await run(currentDeno(), ["check", "--quiet", "--config", config, ...programs], consumer);
});

Deno.test.afterAll(async () => {
  await stop();
  await scratch.remove();
});

/** The size of a program as a page loads it, without supabase-js. */
async function compressedSize(source: string): Promise<number> {
  const compressed = new Blob([await bundled(source)]).stream()
    .pipeThrough(new CompressionStream("gzip"));
  return (await new Response(compressed).arrayBuffer()).byteLength;
}

async function bundled(source: string): Promise<string> {
  const { outputFiles: [file] } = await build({
    stdin: { contents: source, resolveDir: consumer },
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    target: "es2022",
    external: ["@supabase/*"],
  });
  return file?.text ?? "";
}
