/** The operations of the function `bulwark-mfa`, for the second factors of the caller. */
import { z } from "zod";
import { id } from "../foundation/input.ts";
import { operation } from "../foundation/operation.ts";

const name = z.string().trim().min(1).max(64).regex(/^\P{Cc}+$/u);
const code = z.string().max(128);
const moment = () => z.iso.datetime({ offset: true });

const user = { auth: ["user"], rule: "api_default" } as const;
/** Codes of every operation, since the function needs its pepper and a session. */
const all = ["MFA_NOT_CONFIGURED", "MFA_SESSION_REQUIRED", "ENCRYPTION_NOT_CONFIGURED"] as const;
const keys = ["ENCRYPTION_FAILED", "ENCRYPTION_KEY_LOST", "ENCRYPTION_KEY_UNAVAILABLE"] as const;
const refused = [...all, ...keys, "MFA_CODE_REFUSED"] as const;
const either = [...refused, "MFA_INVALID_CODE", "MFA_INVALID_BACKUP_CODE"] as const;
const fresh = [...all, "MFA_VERIFICATION_REQUIRED"] as const;

export const operations = {
  status: operation({
    ...user,
    method: "GET",
    path: "/bulwark-mfa",
    summary: "Tells which second factors there are, and whether the session is verified",
    output: () =>
      z.object({
        enrolled: z.boolean(),
        native_factors: z.int().describe("Factors of Supabase Auth itself."),
        verified_at: moment().nullable().describe("When this session proved a factor."),
        satisfied: z.boolean().describe("Whether the session may enter organizations with MFA."),
        locked: z.boolean().nullable(),
        backup_codes_left: z.int().nullable(),
        factors: z.array(z.object({
          id,
          name: z.string(),
          activated_at: moment(),
          last_used_at: moment().nullable(),
        })).nullable(),
        trusted_devices: z.array(z.object({
          id,
          name: z.string(),
          created_at: moment(),
          expires_at: moment(),
          last_used_at: moment().nullable(),
        })).nullable(),
      }),
    errors: all,
  }),
  enroll: operation({
    ...user,
    method: "POST",
    path: "/bulwark-mfa/enroll",
    summary: "Begins a factor, which counts after it is activated",
    input: z.strictObject({ name: name.default("Authenticator") }),
    output: () =>
      z.object({
        factor_id: id,
        secret: z.string().describe("Base32, for typing."),
        uri: z.string().describe("The content of the QR code."),
        qr_svg: z.string(),
      }),
    errors: [
      ...fresh,
      ...keys,
      "ACCOUNT_ANONYMOUS",
      "MFA_EXPIRED",
      "MFA_RECENT_SIGN_IN_REQUIRED",
      "MFA_TOO_MANY_FACTORS",
    ],
  }),
  activate: operation({
    ...user,
    method: "POST",
    path: "/bulwark-mfa/activate",
    summary: "Completes a factor by its first code",
    input: z.strictObject({ code }),
    output: () =>
      z.object({
        backup_codes: z.array(z.string()).nullable()
          .describe("Ten backup codes with the first factor."),
      }),
    errors: [...refused, "MFA_INVALID_CODE", "MFA_VERIFICATION_REQUIRED"],
  }),
  verify: operation({
    ...user,
    method: "POST",
    path: "/bulwark-mfa/verify",
    summary: "Verifies the session by a code of a factor or by a backup code",
    input: z.strictObject({ code }),
    output: () => z.object({ verified: z.literal(true), backup_codes_left: z.int().optional() }),
    errors: either,
  }),
  verifyBackupCode: operation({
    ...user,
    method: "POST",
    path: "/bulwark-mfa/verify-backup-code",
    summary: "Verifies the session by a backup code",
    input: z.strictObject({ code }),
    output: () => z.object({ verified: z.literal(true), backup_codes_left: z.int() }),
    errors: [...refused, "MFA_INVALID_BACKUP_CODE"],
  }),
  newBackupCodes: operation({
    ...user,
    method: "POST",
    path: "/bulwark-mfa/backup-codes",
    summary: "Replaces the backup codes by ten new ones",
    input: z.strictObject({}),
    output: () => z.object({ backup_codes: z.array(z.string()) }),
    errors: [...fresh, "MFA_EXPIRED", "MFA_NOT_ENROLLED"],
  }),
  disable: operation({
    ...user,
    method: "POST",
    path: "/bulwark-mfa/disable",
    summary: "Removes one factor, or all of them by a backup code",
    input: z.union([z.strictObject({ factor_id: id }), z.strictObject({ backup_code: code })]),
    output: () => z.object({ disabled: z.literal(true) }),
    errors: [
      ...refused,
      "MFA_INVALID_BACKUP_CODE",
      "MFA_UNKNOWN_FACTOR",
      "MFA_VERIFICATION_REQUIRED",
    ],
  }),
  trustDevice: operation({
    ...user,
    method: "POST",
    path: "/bulwark-mfa/devices",
    summary: "Makes this device a second factor for a while",
    input: z.strictObject({ name: name.default("This device") }),
    output: () => z.object({ device_id: id, token: z.string(), expires_at: moment() }),
    errors: [...fresh, "MFA_NOT_ENROLLED", "MFA_INVALID_NAME"],
  }),
  presentDevice: operation({
    ...user,
    method: "POST",
    path: "/bulwark-mfa/devices/present",
    summary: "Verifies the session by the token of a trusted device",
    input: z.strictObject({ token: z.string().max(128) }),
    output: () => z.object({ trusted: z.boolean() }),
    errors: all,
  }),
  revokeDevice: operation({
    ...user,
    method: "POST",
    path: "/bulwark-mfa/devices/revoke",
    summary: "Revokes one trusted device, or all of them",
    input: z.strictObject({ device_id: id.optional() }),
    output: () => z.object({ revoked: z.int() }),
    errors: all,
  }),
  requestReset: operation({
    ...user,
    method: "POST",
    path: "/bulwark-mfa/resets",
    summary: "Requests that the factors of a member be reset",
    input: z.strictObject({
      user_id: id,
      organization_id: id.optional(),
      reason: z.string().trim().min(1).max(500),
    }),
    output: () => z.object({ completed: z.boolean(), reset_id: id }),
    errors: [
      ...fresh,
      "MFA_INVALID_REASON",
      "MFA_OWN_RESET",
      "MFA_REQUIRED",
      "MFA_RESET_PENDING",
      "MFA_TOO_MANY_RESETS",
      "MFA_USER_OUTRANKS",
      "RBAC_NOT_A_MEMBER",
      "RBAC_PERMISSION_DENIED",
      "RBAC_UNKNOWN_USER",
    ],
  }),
  approveReset: operation({
    ...user,
    method: "POST",
    path: "/bulwark-mfa/resets/approve",
    summary: "Approves a reset that somebody else requested",
    input: z.strictObject({ reset_id: id }),
    output: () => z.object({ completed: z.boolean() }),
    errors: [
      ...fresh,
      "MFA_OWN_REQUEST",
      "MFA_OWN_RESET",
      "MFA_REQUIRED",
      "MFA_UNKNOWN_RESET",
      "MFA_USER_OUTRANKS",
      "RBAC_NOT_A_MEMBER",
      "RBAC_PERMISSION_DENIED",
    ],
  }),
  cancelReset: operation({
    ...user,
    method: "POST",
    path: "/bulwark-mfa/resets/cancel",
    summary: "Cancels a reset",
    input: z.strictObject({ reset_id: id }),
    output: () => z.object({ cancelled: z.literal(true) }),
    errors: [...fresh, "MFA_REQUIRED", "MFA_UNKNOWN_RESET", "RBAC_PERMISSION_DENIED"],
  }),
};
