/** The API's document and its pages at `/docs/api/`, from files alone, so that they work offline. */
import { extname } from "node:path";
import { gzipSync } from "node:zlib";
import { inRepository } from "./paths.ts";
import { problem, type Route } from "./server.ts";
import { answerFile, etagOf, type StaticFile, types } from "./static_files.ts";

const page = (name: string) => inRepository("scripts", "stack", "api_page", name);
const swagger = (name: string) => inRepository("node_modules", "swagger-ui-dist", name);

const files = new Map([
  ["", page("index.html")],
  ["page.css", page("page.css")],
  ["page.js", page("page.js")],
  ["swagger-ui.css", swagger("swagger-ui.css")],
  ["swagger-ui-bundle.js", swagger("swagger-ui-bundle.js")],
  ["openapi.json", inRepository("docs", "openapi.json")],
]);

const headers = {
  "cache-control": "no-cache",
  "content-security-policy": [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; "),
  "cross-origin-opener-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

const prefix = "/docs/api";

/** Serves the document at `/docs/api/openapi.json` and the pages around it. */
export function serveApiDocs(): Route {
  const read = new Map<string, Promise<StaticFile>>();
  return {
    prefix,
    async fetch(request) {
      const { pathname } = new URL(request.url);
      if (pathname === prefix) {
        return new Response(null, { status: 308, headers: { location: `${prefix}/` } });
      }
      const path = files.get(pathname.slice(prefix.length + 1));
      if (!/^(GET|HEAD)$/.test(request.method) || !pathname.startsWith(`${prefix}/`) || !path) {
        return problem(404, "NOT_FOUND", "No such path");
      }
      // The packaged files never change; the others may while somebody works on them.
      const isFixed = path.includes("node_modules");
      const file = isFixed && read.get(path) || readFile(path);
      read.set(path, file);
      return answerFile(request, await file, headers);
    },
  };
}

async function readFile(path: string): Promise<StaticFile> {
  const content = await Deno.readFile(path);
  return {
    type: types[extname(path)]!,
    etag: etagOf(content),
    bodies: new Map([["identity", content], ["gzip", new Uint8Array(gzipSync(content))]]),
  };
}
