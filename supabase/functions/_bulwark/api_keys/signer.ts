import { toBase64Url, utf8 } from "../foundation/bytes.ts";

/** Signs claims as a JSON Web Token (RFC 7519) in compact form. */
export type SignToken = (claims: Record<string, unknown>) => Promise<string>;

/** The key for tokens: an imported signing key, else the project's legacy secret. */
export interface SigningKeys {
  /** A private JWK (RFC 7517) for ES256 or RS256, as `supabase gen signing-key` prints it. */
  jwtSigningKey: string | null;
  /** The legacy JWT secret, for HS256. */
  jwtSecret: string | null;
}

const algorithms = {
  ES256: {
    parameters: { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
    members: ["kty", "crv", "x", "y", "d"],
  },
  RS256: {
    parameters: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
    members: ["kty", "n", "e", "d", "p", "q", "dp", "dq", "qi"],
  },
} as const;

/**
 * A signer of tokens that PostgREST verifies with the project's keys.
 * @throws Error if no key is set, or one is malformed
 */
export async function openSigner({ jwtSigningKey, jwtSecret }: SigningKeys): Promise<SignToken> {
  if (jwtSigningKey) return await withPrivateKey(jwtSigningKey);
  if (!jwtSecret) throw new Error("Neither BULWARK_JWT_SIGNING_KEY nor BULWARK_JWT_SECRET is set");
  const parameters = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", utf8(jwtSecret), parameters, false, ["sign"]);
  return signing({ alg: "HS256", typ: "JWT" }, parameters, key);
}

async function withPrivateKey(text: string): Promise<SignToken> {
  const refusal = new Error("BULWARK_JWT_SIGNING_KEY is no private JWK for ES256 or RS256");
  let given: JsonWebKey & { kid?: string } | null;
  try {
    given = JSON.parse(text);
  } catch {
    // The parser's message would quote the private key.
    throw refusal;
  }
  const alg = given?.alg ?? (given?.kty === "EC" ? "ES256" : "RS256");
  const algorithm = Object.hasOwn(algorithms, alg) && algorithms[alg as keyof typeof algorithms];
  if (!algorithm || !given?.d || (alg === "ES256" && given.crv !== "P-256")) throw refusal;
  // Other members of the JWK may declare uses that importKey() rejects.
  const jwk = Object.fromEntries(algorithm.members.map((name) => [name, given[name]]));
  const { parameters } = algorithm;
  const key = await crypto.subtle.importKey("jwk", jwk, parameters, false, ["sign"])
    .catch(() => Promise.reject(refusal));
  const header = { alg, typ: "JWT", ...given.kid ? { kid: given.kid } : {} };
  return signing(header, parameters, key);
}

function signing(
  header: Record<string, string>,
  parameters: { name: string; hash: string },
  key: CryptoKey,
): SignToken {
  const encode = (value: unknown) => toBase64Url(utf8(JSON.stringify(value)));
  const start = encode(header);
  return async (claims) => {
    const signed = `${start}.${encode(claims)}`;
    // WebCrypto's ECDSA signatures already have the form of JWS, r and s (RFC 7518, section 3.4).
    const signature = await crypto.subtle.sign(parameters, key, utf8(signed));
    return `${signed}.${toBase64Url(new Uint8Array(signature))}`;
  };
}
