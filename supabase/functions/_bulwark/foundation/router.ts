import { BulwarkError } from "./errors.ts";
import type { Handler } from "./http.ts";
import type { Limit } from "../rate_limits/mod.ts";

const uuid = /(?<=\/)[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}(?=\/|$)/i;

/** The UUID in a request's path; empty if it has none. */
export function pathId({ url }: Request): string {
  return uuid.exec(new URL(url).pathname)?.[0] ?? "";
}

/**
 * The path of a request without trailing slashes. A regular expression would take quadratic time for
 * many slashes in the middle.
 */
export function pathOf({ url }: Request): string {
  const { pathname } = new URL(url);
  let end = pathname.length;
  while (pathname[end - 1] === "/") end--;
  return pathname.slice(0, end);
}

/**
 * Routes by method and path, as in `{ "GET /bulwark-audit/proof": … }`. Trailing slashes are ignored;
 * `<id>` stands for a UUID, which {@link pathId} reads. Requests without a route are rate-limited too.
 * @throws BulwarkError 404 NOT_FOUND if no route has the path, 405 METHOD_NOT_ALLOWED if only other
 * methods have it
 */
export function router(limit: Limit, routes: Record<string, Handler>): Handler {
  const known = new Map<string, Map<string, Handler>>();
  for (const [route, handler] of Object.entries(routes)) {
    const [method = "", path = ""] = route.split(" ");
    known.set(path, (known.get(path) ?? new Map()).set(method, handler));
  }
  const placeOf = (request: Request) => known.get(pathOf(request).replace(uuid, "<id>"));
  const refuse = limit("api_default", (request) => {
    const place = placeOf(request);
    throw place
      ? notAllowed([...place.keys()])
      : new BulwarkError(404, "NOT_FOUND", "Cannot answer: there is no such path");
  });
  return async (request) => await (placeOf(request)?.get(request.method) ?? refuse)(request);
}

/** HEAD is answered as GET. */
function notAllowed(routed: readonly string[]): BulwarkError {
  const methods = routed.includes("GET") ? [...routed, "HEAD"] : routed;
  const message = `Cannot use this method: ${methods.join(" or ")}`;
  const refusal = new BulwarkError(405, "METHOD_NOT_ALLOWED", message);
  refusal.headers = { allow: methods.join(", ") };
  return refusal;
}
