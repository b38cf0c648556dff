/**
 * The JSON Web Token that a request carries, in the one form that it may have (RFC 7515, section 7.1:
 * three parts in base64url without padding); null where there is none, or more than one. Verifiers
 * differ in what else they accept; so this text is passed on, and no header as it came: whoever is
 * limited and whoever is served is one and the same. It verifies nothing.
 */
export function tokenOf(request: Request): string | null {
  const authorization = request.headers.get("authorization") ?? "";
  return /^Bearer +([\w-]+\.[\w-]+\.[\w-]+)$/i.exec(authorization)?.[1] ?? null;
}
