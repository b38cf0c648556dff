import { HOTP, Secret, TOTP } from "otpauth";

/** RFC 6238 as every authenticator app speaks it; the apps ignore other choices. */
const parameters = { algorithm: "SHA1", digits: 6 } as const;
const period = 30;

/** A new secret: 160 random bits (RFC 4226, section 4) in base32. */
export function makeSecret(): string {
  return new Secret({ size: 20 }).base32;
}

/**
 * The address that an authenticator app reads from the QR code. A colon separates the two names in
 * it, so theirs become spaces.
 */
export function otpauthUri(issuer: string, account: string, secret: string): string {
  const [first, second] = [issuer, account].map((name) => name.replaceAll(":", " ").trim());
  return new TOTP({ ...parameters, period, issuer: first!, label: second!, secret }).toString();
}

/**
 * The time step, of the given one and its two neighbours, that a code belongs to; null: of none.
 * A code that is wrong takes the same time however much of it is right.
 * @param code six digits
 * @param step whole 30 seconds since 1970 (RFC 6238, section 4.2)
 */
export function matchingStep(secret: string, code: string, step: number): number | null {
  const otp = { ...parameters, secret: Secret.fromBase32(secret), token: code };
  const delta = HOTP.validate({ ...otp, counter: step, window: 1 });
  return delta === null ? null : step + delta;
}
