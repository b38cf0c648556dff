/** Answers with static files, compressed where the client accepts that. */
import { createHash } from "node:crypto";

/** A file that is served. */
export interface StaticFile {
  type: string;
  etag: string;
  /** The bodies by encoding; `identity` is always there. */
  bodies: Map<string, Uint8Array<ArrayBuffer>>;
}

/** The media types of files by the ending of their names. */
export const types: Record<string, string> = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".svg": "image/svg+xml",
};

/** The tag of a content. */
export function etagOf(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("hex").slice(0, 16);
}

/** The answer to a request for a file, with these headers too. */
export function answerFile(
  request: Request,
  { type, etag, bodies }: StaticFile,
  more: Record<string, string>,
): Response {
  const accepted = request.headers.get("accept-encoding") ?? "";
  const encoding = ["br", "gzip"].find((name) =>
    bodies.has(name) &&
    new RegExp(`\\b${name}\\b(?!\\s*;\\s*q=0(?:\\.0+)?(?:,|$))`).test(accepted)
  ) ?? "identity";
  const headers = new Headers({
    ...more,
    "content-type": type,
    etag: `"${etag}-${encoding}"`,
    vary: "accept-encoding",
  });
  if (request.headers.get("if-none-match") === headers.get("etag")) {
    return new Response(null, { status: 304, headers });
  }
  const body = bodies.get(encoding)!;
  if (encoding !== "identity") headers.set("content-encoding", encoding);
  headers.set("content-length", String(body.length));
  return new Response(request.method === "HEAD" ? null : body, { headers });
}
