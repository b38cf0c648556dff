import type { CallerClient } from "../foundation/caller.ts";
import { unwrap } from "../foundation/errors.ts";

/** The purpose of an attempt. */
export type Purpose = "verify" | "backup_code" | "activate" | "disable";

/** The result of completing an attempt. */
export interface Outcome {
  accepted: boolean;
  backup_codes_left?: number;
  backup_codes_stored?: boolean;
}

/** An encrypted secret that an attempt's code may match. */
export interface OpenedFactor {
  factorId: string;
  userId: string;
  secret: string;
  /** The time step by the database's clock. */
  step: number;
}

/** Clients of the database: with the caller's token, and as the service role. */
export interface Clients {
  caller: CallerClient;
  service: CallerClient;
}

/** Begins an attempt as the caller and charges it. */
export async function beginAttempt({ caller }: Clients, purpose: Purpose): Promise<string> {
  return unwrap(await caller.rpc("begin_mfa_attempt", { purpose }));
}

/** The factors that an attempt's code may match; none if it was not admitted. */
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
