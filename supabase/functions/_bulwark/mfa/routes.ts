import { readJson } from "../foundation/http.ts";
import { parse } from "../foundation/input.ts";
import { unwrap } from "../foundation/errors.ts";
import { activate, enroll, regenerateBackupCodes } from "./enrolment.ts";
import { bodies } from "./input.ts";
import { type Context, useBackupCode, verify } from "./verification.ts";

/** Answers a route of the function `bulwark-mfa` with a value that becomes JSON. */
export type Route = (context: Context, request: Request) => Promise<unknown>;

/** The routes of the function `bulwark-mfa`, by method and path. */
export const routes: Record<string, Route> = {
  async "GET /bulwark-mfa"({ caller }) {
    const [status] = unwrap(await caller.rpc("mfa_status"));
    return status;
  },
  async "POST /bulwark-mfa/enroll"(context, request) {
    const { name } = parse(bodies.enroll, await readJson(request));
    return await enroll(context, name);
  },
  async "POST /bulwark-mfa/activate"(context, request) {
    const { code } = parse(bodies.code, await readJson(request));
    return await activate(context, code);
  },
  async "POST /bulwark-mfa/verify"(context, request) {
    const { code } = parse(bodies.code, await readJson(request));
    const { backup_codes_left } = await verify(context, code);
    return { verified: true, ...backup_codes_left === undefined ? {} : { backup_codes_left } };
  },
  // For a separate form; `verify` accepts both kinds of code.
  async "POST /bulwark-mfa/verify-backup-code"(context, request) {
    const { code } = parse(bodies.code, await readJson(request));
    const { backup_codes_left } = await useBackupCode(context, code, "backup_code");
    return { verified: true, backup_codes_left };
  },
  async "POST /bulwark-mfa/backup-codes"(context, request) {
    parse(bodies.nothing, await readJson(request));
    return { backup_codes: await regenerateBackupCodes(context) };
  },
  async "POST /bulwark-mfa/disable"(context, request) {
    const asked = parse(bodies.disable, await readJson(request));
    if ("backup_code" in asked) await useBackupCode(context, asked.backup_code, "disable");
    else unwrap(await context.caller.rpc("remove_mfa_factor", asked));
    return { disabled: true };
  },
  async "POST /bulwark-mfa/devices"({ caller }, request) {
    const [device] = unwrap(
      await caller.rpc("trust_device", parse(bodies.trust, await readJson(request))),
    );
    return device;
  },
  async "POST /bulwark-mfa/devices/present"({ caller }, request) {
    const asked = parse(bodies.token, await readJson(request));
    return { trusted: unwrap(await caller.rpc("present_trusted_device", asked)) };
  },
  async "POST /bulwark-mfa/devices/revoke"({ caller }, request) {
    const { device_id } = parse(bodies.revoke, await readJson(request));
    const asked = device_id === undefined ? {} : { device_id };
    return { revoked: unwrap(await caller.rpc("revoke_trusted_device", asked)) };
  },
  async "POST /bulwark-mfa/resets"({ caller }, request) {
    const { organization_id, ...asked } = parse(bodies.reset, await readJson(request));
    const where = organization_id === undefined ? {} : { organization_id };
    const [reset] = unwrap(await caller.rpc("request_mfa_reset", { ...asked, ...where }));
    return reset;
  },
  async "POST /bulwark-mfa/resets/approve"({ caller }, request) {
    const asked = parse(bodies.decide, await readJson(request));
    return { completed: unwrap(await caller.rpc("approve_mfa_reset", asked)) };
  },
  async "POST /bulwark-mfa/resets/cancel"({ caller }, request) {
    const asked = parse(bodies.decide, await readJson(request));
    unwrap(await caller.rpc("cancel_mfa_reset", asked));
    return { cancelled: true };
  },
};
