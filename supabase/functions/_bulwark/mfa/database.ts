import type { CallerClient } from "../foundation/caller.ts";
import { unwrap } from "../foundation/errors.ts";

/** What a code or a beginning is for. */
export type Purpose = "verify" | "backup_code" | "activate" | "disable";

/** What completing an attempt answers. */
export interface Outcome {
  accepted: boolean;
  backup_codes_left?: number;
  backup_codes_stored?: boolean;
}

/** An encrypted secret that an attempt may be judged by. */
export interface OpenedFactor {
  factorId: string;
  userId: string;
  secret: string;
  /** The time step by the database's clock. */
  step: number;
}

/** The two ways into the database: as the bearer of the token, and as the service. */
export interface Clients {
  caller: CallerClient;
  service: CallerClient;
}

/** Begins an attempt as the caller, which charges it; the database knows whose it is. */
export async function beginAttempt({ caller }: Clients, purpose: Purpose): Promise<string> {
  return unwrap(await caller.rpc("begin_mfa_attempt", { purpose }));
}

/** The factors that an attempt may be judged by: none where it was not admitted. */
export async function openAttempt(
  { service }: Clients,
  attempt_id: string,
): Promise<OpenedFactor[]> {
  return unwrap(await service.rpc("open_mfa_attempt", { attempt_id })).map((row) => ({
    factorId: row.factor_id,
    userId: row.user_id,
    secret: row.secret,
    step: row.step,
  }));
}
