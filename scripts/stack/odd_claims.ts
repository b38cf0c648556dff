/**
 * The refusal of a token with claims that Lite fails on with a plain 500: it casts `session_id` to a
 * UUID, and takes any `role` for text. What the Data API answers is what the database says of a
 * session that is none; null: the claims are fine, or not to be read. Nothing is verified here.
 */
export function refuseOddClaims({ headers, url }: Request): Response | null {
  const [, payload] = /^Bearer +[\w-]+\.([\w-]+)\./i.exec(headers.get("authorization") ?? "") ?? [];
  let claims: { session_id?: unknown; role?: unknown } | null;
  try {
    claims = JSON.parse(atob((payload ?? "").replaceAll("-", "+").replaceAll("_", "/")));
  } catch {
    return null;
  }
  const { session_id, role } = claims ?? {};
  if ((!session_id || isUuid(session_id)) && (!role || typeof role === "string")) return null;
  return new URL(url).pathname.startsWith("/auth/")
    ? Response.json({ code: 403, error_code: "bad_jwt", msg: "invalid claim" }, { status: 403 })
    : Response.json({
      code: "PT401",
      message: "Cannot proceed: the session has ended, or the token names none of the user's",
      details: "SESSION_ENDED",
      hint: "Sign in again",
    }, { status: 401 });
}

function isUuid(value: unknown): boolean {
  return typeof value === "string" && /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i.test(value);
}
