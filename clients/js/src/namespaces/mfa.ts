import { type Calls, first, firstOrNull } from "../calls.ts";
import type { Inputs } from "../generated/inputs.ts";
import type { FunctionAnswers } from "../generated/answers.ts";
import type { Args } from "../overlay.ts";
import { rowsOf } from "../pages.ts";

/** A filter of members by their second factors. */
export type ComplianceFilter = Omit<Args<"mfa_compliance">, "organization_id" | "state"> & {
  state?: "enrolled" | "missing" | "overdue" | "locked" | undefined;
};

/** Second factors of the caller, and what organizations ask of them. */
export function mfa<T extends boolean>(
  { rpc, select, invoke }: Calls<T>,
  throwing: Calls<true>,
) {
  const post = <Path extends keyof FunctionAnswers & keyof Inputs>(
    path: Path,
    body: Inputs[Path],
  ) => invoke<FunctionAnswers[Path]>(path, { body });
  return {
    status: () => rpc("mfa_status", {}, first),
    /** Begins a factor; it counts after `activate`. */
    enroll: (name?: string) => post("bulwark-mfa/enroll", { name }),
    /** Completes a factor by its first code. Gives ten backup codes with the first factor. */
    activate: (code: string) => post("bulwark-mfa/activate", { code }),
    /** Verifies the session by a code of a factor or a backup code. */
    verify: (code: string) => post("bulwark-mfa/verify", { code }),
    verifyBackupCode: (code: string) => post("bulwark-mfa/verify-backup-code", { code }),
    /** Replaces the backup codes by ten new ones. */
    newBackupCodes: () => post("bulwark-mfa/backup-codes", {}),
    /** Removes one factor, or all of them by a backup code. */
    disable: (by: Inputs["bulwark-mfa/disable"]) => post("bulwark-mfa/disable", by),
    /** Makes this device a second factor for a while. Keep the token on it. */
    trustDevice: (name?: string) => post("bulwark-mfa/devices", { name }),
    presentDevice: (token: string) => post("bulwark-mfa/devices/present", { token }),
    /** Revokes one trusted device, or all of them. */
    revokeDevice: (device?: string) => post("bulwark-mfa/devices/revoke", { device_id: device }),
    /** Whether this session has to verify a factor there. */
    required: (organization: string | null) =>
      rpc("mfa_required", { organization_id: organization }),
    /** The decisions of an organization about second factors; null if it has decided nothing. */
    policy: (organization: string) =>
      select(
        "mfa_policies",
        (query) => query.eq("organization_id", organization),
        firstOrNull,
      ),
    setPolicy: (
      organization: string | null,
      policy: Omit<Args<"set_mfa_policy">, "organization_id">,
    ) => rpc("set_mfa_policy", { organization_id: organization, ...policy }),
    /** A page of the members and their second factors, by `user_id`. */
    compliance: (organization: string, filter: ComplianceFilter = {}) =>
      rpc("mfa_compliance", { organization_id: organization, ...filter }),
    /** All members that match a filter and their second factors, page by page. Throws a BulwarkError. */
    everyone: (organization: string, filter: ComplianceFilter = {}) =>
      rowsOf(
        filter.after,
        (after) =>
          throwing.rpc("mfa_compliance", {
            organization_id: organization,
            page_size: 100,
            ...filter,
            after,
          }),
        ({ user_id }) => user_id,
      ),
    /** The newest uses of the caller's own factors, successful or not. */
    usage: (count = 20) =>
      select(
        "mfa_usage_log",
        (query) => query.order("id", { ascending: false }).limit(count),
      ),
    /** Resets of members' factors that the caller may see, newest first. */
    resets: () =>
      select("mfa_resets", (query) => query.order("requested_at", { ascending: false })),
    requestReset: (reset: Inputs["bulwark-mfa/resets"]) => post("bulwark-mfa/resets", reset),
    approveReset: (reset: string) => post("bulwark-mfa/resets/approve", { reset_id: reset }),
    cancelReset: (reset: string) => post("bulwark-mfa/resets/cancel", { reset_id: reset }),
  };
}
