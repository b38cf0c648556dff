import { HOTP, Secret, TOTP } from "otpauth";

/** The parameters of RFC 6238 that all authenticator apps support; many ignore others. */
const parameters = { algorithm: "SHA1", digits: 6 } as const;
const period = 30;

/** A new secret: 160 random bits (RFC 4226, section 4) in base32. */
export function makeSecret(): string {
  return new Secret({ size: 20 }).base32;
}

/**
 * The URI that an authenticator app reads from the QR code. A colon separates the two names, so colons
 * inside them become spaces.
 */
export function otpauthUri(issuer: string, account: string, secret: string): string {
  const [first, second] = [issuer, account].map((name) => name.replaceAll(":", " ").trim());
  return new TOTP({ ...parameters, period, issuer: first!, label: second!, secret }).toString();
}

/**
 * The time step that a code belongs to: the given one or one of its two neighbours; null if none.
 * Compares in constant time.
 * @param code six digits
 * @param step whole 30 seconds since 1970 (RFC 6238, section 4.2)
 */
export function matchingStep(secret: string, code: string, step: number): number | null {
  const otp = { ...parameters, secret: Secret.fromBase32(secret), token: code };
  const delta = HOTP.validate({ ...otp, counter: step, window: 1 });
  return delta === null ? null : step + delta;
}
