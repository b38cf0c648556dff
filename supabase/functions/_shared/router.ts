import { BulwarkError } from "./errors.ts";
import type { Handler } from "./http.ts";

/**
 * Answers by method and path, as in `{ "GET /audit/proof": … }`; a slash at the end makes no
 * difference.
 * @throws BulwarkError 404 NOT_FOUND where no route has the method and the path
 */
export function router(routes: Record<string, Handler>): Handler {
  const known = new Map(Object.entries(routes));
  return async (request) => {
    const path = new URL(request.url).pathname.replace(/\/+$/, "");
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
