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

/** What verifying needs. */
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

/** Refusals leave at the next of these, in milliseconds since the request came. */
const beat = 100;

/**
 * Verifies the caller's session by a code of any of the account's factors, or by a backup code.
 * @throws BulwarkError 403 MFA_CODE_REFUSED: the same, and as late, for a wrong code, a used one, an
 * account without a factor and one that is locked; 400 MFA_INVALID_CODE
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
 * Spends a backup code to verify the caller's session (`backup_code`), or to take all factors from
 * the account (`disable`).
 * @throws BulwarkError 403 MFA_CODE_REFUSED as of {@link verifyCode}; 400 MFA_INVALID_BACKUP_CODE
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
 * Begins an attempt, completes it, and lets refusals wait for the beat, so that their time tells
 * nothing about their reason.
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
  const late = (performance.now() - start) % beat;
  await new Promise((resolve) => setTimeout(resolve, beat - late));
  throw new BulwarkError(
    403,
    "MFA_CODE_REFUSED",
    "Cannot accept code: it is wrong or was used, or too many were tried; wait for the next one",
  );
}

/**
 * Which factor a code belongs to, and to which step. Where there is none to judge by, a decoy takes
 * as long.
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

/** The parameters of a completion; nulls, which the generated types do not know, are no match. */
export function parameters(match: Match | null): { factor_id: string; step: number } {
  return {
    factor_id: match?.factorId ?? null as unknown as string,
    step: match?.step ?? null as unknown as number,
  };
}

/** One for each source of keys, made when it is first needed. */
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
