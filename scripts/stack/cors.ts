const methods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
const exposed = "content-range, content-location, preference-applied, retry-after, " +
  "x-supabase-api-version, x-sb-error-code, ratelimit, ratelimit-policy, x-ratelimit-limit, " +
  "x-ratelimit-remaining, x-ratelimit-reset";

type Fetch = (request: Request) => Promise<Response>;

/**
 * Does for REST and Auth what the hosted gateway does: answers preflights, whatever is behind
 * them, and lets pages of any origin read the answers. Functions see to their own CORS.
 */
export function withCors(fetch: Fetch): Fetch {
  return async (request) => {
    if (request.method === "OPTIONS" && request.headers.has("access-control-request-method")) {
      return new Response(null, {
        status: 204,
        headers: {
          "access-control-allow-origin": "*",
          "access-control-allow-methods": methods,
          "access-control-allow-headers": request.headers.get("access-control-request-headers") ??
            "*",
          "access-control-max-age": "3600",
          "vary": "access-control-request-headers",
        },
      });
    }
    const response = await fetch(request);
    const headers = new Headers(response.headers);
    headers.set("access-control-allow-origin", "*");
    // The database may expose more headers, as with PostgREST.
    headers.append("access-control-expose-headers", exposed);
    headers.delete("access-control-allow-credentials");
    return new Response(response.body, { status: response.status, headers });
  };
}
