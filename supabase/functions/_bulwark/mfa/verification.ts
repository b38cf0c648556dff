import type { DataKeys } from "../encryption/mod.ts";
import { BulwarkError, unwrap } from "../foundation/errors.ts";
import { hashBackupCode } from "./backup_codes.ts";
import { readBackupCode, readEitherCode } from "./codes.ts";
import {
  beginAttempt,
  type Clients,
  openAttempt,
  type OpenedFactor,
  type Outcome,
  type Purpose,
} from "./database.ts";
import { openSecret, sealSecret } from "./factor.ts";
import { makeSecret, matchingStep } from "./totp.ts";

/** The clients and keys for verifying codes. */
export interface Context extends Clients {
  keys: DataKeys;
  /** Keys the hashes of backup codes; at least 32 characters. */
  pepper: string;
}

/** A factor and the time step that a code belongs to. */
export interface Match {
  factorId: string;
  step: number;
}

/** Refusals are sent at the next multiple of this, in milliseconds after the request. */
const refusalInterval = 100;

/**
 * Verifies the caller's session by a code of any of the account's factors, or by a backup code.
 * @throws BulwarkError 403 MFA_CODE_REFUSED, the same and after the same time, for a wrong or used code,
 * an account without a factor and a locked one; 400 MFA_INVALID_CODE
 */
export async function verify(context: Context, input: string): Promise<Outcome> {
  const typed = readEitherCode(input);
  if ("backup" in typed) return await useBackupCode(context, typed.backup, "backup_code");
  return await attempt(context, "verify", async (attempt_id) => {
    const match = await judge(context, attempt_id, typed.totp);
    return await context.service.rpc("complete_mfa_verification", {
      attempt_id,
      ...parameters(match),
    });
  });
}

/**
 * Spends a backup code to verify the caller's session (`backup_code`), or to remove all factors of the
 * account (`disable`).
 * @throws BulwarkError 403 MFA_CODE_REFUSED as in {@link verify}; 400 MFA_INVALID_BACKUP_CODE
 */
export async function useBackupCode(
  context: Context,
  input: string,
  purpose: "backup_code" | "disable",
): Promise<Outcome> {
  const code_hash = await hashBackupCode(context.pepper, readBackupCode(input));
  return await attempt(
    context,
    purpose,
    (attempt_id) => context.service.rpc("complete_mfa_backup_code", { attempt_id, code_hash }),
  );
}

/**
 * Begins and completes an attempt. Delays refusals to a multiple of an interval, so that their time
 * does not reveal the reason.
 * @throws BulwarkError 403 MFA_CODE_REFUSED
 */
export async function attempt(
  clients: Clients,
  purpose: Purpose,
  complete: (attemptId: string) => PromiseLike<Parameters<typeof unwrap>[0]>,
): Promise<Outcome> {
  const start = performance.now();
  const attemptId = await beginAttempt(clients, purpose);
  const outcome = unwrap(await complete(attemptId)) as Outcome;
  if (outcome.accepted) return outcome;
  const elapsed = (performance.now() - start) % refusalInterval;
  await new Promise((resolve) => setTimeout(resolve, refusalInterval - elapsed));
  throw new BulwarkError(
    403,
    "MFA_CODE_REFUSED",
    "Cannot accept code: it is wrong or was used, or too many were tried; wait for the next one",
  );
}

/**
 * Finds the factor and the time step of a code. If the account has no factor, a decoy takes the same
 * time.
 */
export async function judge(
  context: Context,
  attemptId: string,
  code: string,
): Promise<Match | null> {
  const opened = await openAttempt(context, attemptId);
  let found: Match | null = null;
  for (const factor of opened.length > 0 ? opened : [await decoy(context.keys)]) {
    const secret = await openSecret(context.keys, factor, factor.secret);
    const step = matchingStep(secret, code, factor.step);
    if (step !== null && opened.length > 0) found ??= { factorId: factor.factorId, step };
  }
  return found;
}

/** The parameters of a completion; null, which the generated types do not allow, means no match. */
export function parameters(match: Match | null): { factor_id: string; step: number } {
  return {
    factor_id: match?.factorId ?? null as unknown as string,
    step: match?.step ?? null as unknown as number,
  };
}

/** One decoy for each source of keys, created on first use. */
const decoys = new WeakMap<DataKeys, Promise<OpenedFactor>>();

function decoy(keys: DataKeys): Promise<OpenedFactor> {
  let made = decoys.get(keys);
  if (!made) {
    const factor = { factorId: crypto.randomUUID(), userId: crypto.randomUUID() };
    made = sealSecret(keys, factor, makeSecret()).then((secret) => ({
      ...factor,
      secret,
      step: Math.floor(Date.now() / 30_000),
    }));
    decoys.set(keys, made);
    made.catch(() => decoys.delete(keys));
  }
  return made;
}
