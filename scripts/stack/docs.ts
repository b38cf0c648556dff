/** The documents at `/docs/`, built from their files when a page is asked for and they have changed. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Site } from "../documents/site.ts";
import { inRepository } from "./paths.ts";
import { problem, type Route } from "./server.ts";
import { answerFile, etagOf, type StaticFile } from "./static_files.ts";

/** The policy that the pages live under. */
export const docsHeaders = {
  "cache-control": "no-cache",
  "content-security-policy": [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; "),
  "cross-origin-opener-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

/** Serves the site of the documents. */
export function serveDocs(): Route {
  let built: { hash: string; site: Promise<Site> } | undefined;
  const files = new WeakMap<Uint8Array, StaticFile>();
  return {
    prefix: "/docs",
    async fetch(request) {
      const { pathname } = new URL(request.url);
      if (!/^(GET|HEAD)$/.test(request.method)) return problem(404, "NOT_FOUND", "No such path");
      if (/^\/docs(\/runbooks)?$/.test(pathname)) {
        return new Response(null, { status: 308, headers: { location: `${pathname}/` } });
      }
      // Loaded when it is needed: it brings the parser and the drawings along.
      const { buildSite, typeOf } = await import("../documents/site.ts");
      if (!built || /(\/|\.html)$/.test(pathname)) {
        const hash = await hashOfSources();
        if (hash !== built?.hash) built = { hash, site: buildSite({ api: true }) };
      }
      const path = pathname.slice("/docs/".length).replace(/(^|\/)$/, "$1index.html");
      const content = (await built.site).get(path);
      if (!pathname.startsWith("/docs/") || !content) {
        return problem(404, "NOT_FOUND", "No such path");
      }
      let file = files.get(content);
      if (!file) {
        const gzip = new Uint8Array(gzipSync(content));
        const bodies = new Map([["identity", content], ["gzip", gzip]]);
        files.set(content, file = { type: typeOf(path), etag: etagOf(content), bodies });
      }
      return answerFile(request, file, docsHeaders);
    },
  };
}

/** Changes with each change of a document. */
async function hashOfSources(): Promise<string> {
  const hash = createHash("sha256");
  const add = async (path: string) => {
    const { mtime, isDirectory } = await Deno.stat(path);
    if (!isDirectory) return void hash.update(`${path} ${mtime?.getTime()}\n`);
    const names = await Array.fromAsync(Deno.readDir(path), ({ name }) => name);
    for (const name of names.sort()) await add(join(path, name));
  };
  const others = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"];
  for (const path of ["docs", "scripts/documents", "console/src/app.css", ...others]) {
    await add(inRepository(path));
  }
  return hash.digest("hex");
}
