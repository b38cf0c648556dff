import { BulwarkError, unwrap } from "../foundation/errors.ts";
import { hashBackupCode, makeBackupCodes } from "./backup_codes.ts";
import { readBackupCode, readCode } from "./codes.ts";
import { sealSecret } from "./factor.ts";
import { qrSvg } from "./qr.ts";
import { makeSecret, otpauthUri } from "./totp.ts";
import { attempt, type Context, judge, parameters } from "./verification.ts";

/** A factor that waits for its first code. Returned only once. */
export interface Enrolment {
  factor_id: string;
  /** Base32, for typing. */
  secret: string;
  /** The content of the QR code. */
  uri: string;
  qr_svg: string;
}

/**
 * Begins the enrolment of a factor of the caller.
 * @throws BulwarkError MFA_RECENT_SIGN_IN_REQUIRED, MFA_VERIFICATION_REQUIRED, MFA_TOO_MANY_FACTORS,
 * MFA_SESSION_REQUIRED; 409 MFA_EXPIRED
 */
export async function enroll(context: Context, name: string): Promise<Enrolment> {
  const [begun] = unwrap(await context.caller.rpc("begin_mfa_enrolment"));
  if (!begun) throw new Error("The account does not exist");
  const secret = makeSecret();
  const sealed = await sealSecret(
    context.keys,
    { factorId: begun.factor_id, userId: begun.user_id },
    secret,
  );
  expectStored(
    unwrap(
      await context.service.rpc("store_mfa_secret", {
        factor_id: begun.factor_id,
        secret: sealed,
        name,
      }),
    ),
  );
  const uri = otpauthUri(begun.issuer, begun.account, secret);
  return { factor_id: begun.factor_id, secret, uri, qr_svg: qrSvg(uri) };
}

/**
 * Activates a factor by its first code, in the session that began it. Returns ten backup codes if it is
 * the account's first factor.
 * @throws BulwarkError 403 MFA_CODE_REFUSED, 400 MFA_INVALID_CODE
 */
export async function activate(
  context: Context,
  input: string,
): Promise<{ backup_codes: string[] | null }> {
  const code = readCode(input);
  const codes = makeBackupCodes();
  const backup_code_hashes = await hashes(context.pepper, codes);
  const outcome = await attempt(context, "activate", async (attempt_id) => {
    const match = await judge(context, attempt_id, code);
    return await context.service.rpc("complete_mfa_activation", {
      attempt_id,
      ...parameters(match),
      backup_code_hashes,
    });
  });
  return { backup_codes: outcome.backup_codes_stored ? codes : null };
}

/**
 * Creates ten new backup codes and invalidates the old ones. Needs a fresh verification.
 * @throws BulwarkError MFA_VERIFICATION_REQUIRED, MFA_SESSION_REQUIRED, MFA_NOT_ENROLLED; 409
 * MFA_EXPIRED
 */
export async function regenerateBackupCodes(context: Context): Promise<string[]> {
  const ticket_id = unwrap(await context.caller.rpc("begin_backup_codes"));
  const codes = makeBackupCodes();
  const code_hashes = await hashes(context.pepper, codes);
  expectStored(unwrap(await context.service.rpc("store_backup_codes", { ticket_id, code_hashes })));
  return codes;
}

async function hashes(pepper: string, codes: string[]): Promise<string[]> {
  return await Promise.all(codes.map((code) => hashBackupCode(pepper, readBackupCode(code))));
}

function expectStored(stored: boolean): void {
  if (stored) return;
  throw new BulwarkError(409, "MFA_EXPIRED", "Cannot finish: it took too long, or you signed out");
}
