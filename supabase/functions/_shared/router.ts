import { BulwarkError } from "./errors.ts";
import type { Handler } from "./http.ts";

const uuid = /(?<=\/)[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}(?=\/|$)/i;

/** The UUID in a request's path; empty where it has none. */
export function pathId({ url }: Request): string {
  return uuid.exec(new URL(url).pathname)?.[0] ?? "";
}

/**
 * The path of a request without the slashes at its end. Not by a regular expression: that takes time
 * by the square of how many there are in the middle.
 */
export function pathOf({ url }: Request): string {
  const { pathname } = new URL(url);
  let end = pathname.length;
  while (pathname[end - 1] === "/") end--;
  return pathname.slice(0, end);
}

/**
 * Answers by method and path, as in `{ "GET /audit/proof": … }`; a slash at the end makes no
 * difference, and `<id>` stands for a UUID, which {@link pathId} reads.
 * @throws BulwarkError 404 NOT_FOUND where no route has the method and the path
 */
export function router(routes: Record<string, Handler>): Handler {
  const known = new Map(Object.entries(routes));
  return async (request) => {
    const path = pathOf(request).replace(uuid, "<id>");
    const route = known.get(`${request.method} ${path}`);
    if (!route) {
      throw new BulwarkError(
        404,
        "NOT_FOUND",
        "Cannot answer: there is no such path",
      );
    }
    return await route(request);
  };
}
