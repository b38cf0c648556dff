import type { z } from "zod";
import type { Handlers } from "../foundation/answering.ts";
import type { DataClient } from "../foundation/clients.ts";
import { unwrap } from "../foundation/errors.ts";
import { activate, enroll, regenerateBackupCodes } from "./enrolment.ts";
import type { operations } from "./operations.ts";
import { type Context, useBackupCode, verify } from "./verification.ts";

type Operations = typeof operations;

/** The handlers of the operations, with the clients and keys that `contextOf` gives a call. */
export function handlers(
  contextOf: (call: { request: Request; client: DataClient }) => Context,
): Handlers<Operations> {
  return {
    async status(call) {
      const [status] = unwrap(await contextOf(call).caller.rpc("mfa_status"));
      return status as unknown as z.output<ReturnType<Operations["status"]["output"]>>;
    },
    enroll: (call) => enroll(contextOf(call), call.asked.name),
    activate: (call) => activate(contextOf(call), call.asked.code),
    async verify(call) {
      const { backup_codes_left } = await verify(contextOf(call), call.asked.code);
      return { verified: true, ...backup_codes_left === undefined ? {} : { backup_codes_left } };
    },
    // For a separate form; `verify` accepts both kinds of code.
    async verifyBackupCode(call) {
      const outcome = await useBackupCode(contextOf(call), call.asked.code, "backup_code");
      return { verified: true, backup_codes_left: outcome.backup_codes_left ?? 0 };
    },
    async newBackupCodes(call) {
      return { backup_codes: await regenerateBackupCodes(contextOf(call)) };
    },
    async disable(call) {
      const { asked } = call;
      const context = contextOf(call);
      if ("backup_code" in asked) await useBackupCode(context, asked.backup_code, "disable");
      else unwrap(await context.caller.rpc("remove_mfa_factor", asked));
      return { disabled: true };
    },
    async trustDevice(call) {
      const [device] = unwrap(await contextOf(call).caller.rpc("trust_device", call.asked));
      return device!;
    },
    async presentDevice(call) {
      const { caller } = contextOf(call);
      return { trusted: unwrap(await caller.rpc("present_trusted_device", call.asked)) };
    },
    async revokeDevice(call) {
      const { device_id } = call.asked;
      const asked = device_id === undefined ? {} : { device_id };
      return { revoked: unwrap(await contextOf(call).caller.rpc("revoke_trusted_device", asked)) };
    },
    async requestReset(call) {
      const { organization_id, ...asked } = call.asked;
      const where = organization_id === undefined ? {} : { organization_id };
      const { caller } = contextOf(call);
      const [reset] = unwrap(await caller.rpc("request_mfa_reset", { ...asked, ...where }));
      return reset!;
    },
    async approveReset(call) {
      const { caller } = contextOf(call);
      return { completed: unwrap(await caller.rpc("approve_mfa_reset", call.asked)) };
    },
    async cancelReset(call) {
      unwrap(await contextOf(call).caller.rpc("cancel_mfa_reset", call.asked));
      return { cancelled: true };
    },
  };
}
