import { z } from "zod";

const name = z.string().trim().min(1).max(64).regex(/^\P{Cc}+$/u);
const code = z.string().max(64);

/** The bodies of the function `mfa`, by what they are for. */
export const bodies = {
  enroll: z.strictObject({ name: name.default("Authenticator") }),
  code: z.strictObject({ code }),
  disable: z.union([
    z.strictObject({ factor_id: z.uuid() }),
    z.strictObject({ backup_code: code }),
  ]),
  trust: z.strictObject({ name: name.default("This device") }),
  token: z.strictObject({ token: z.string().max(128) }),
  revoke: z.strictObject({ device_id: z.uuid().optional() }),
  reset: z.strictObject({
    user_id: z.uuid(),
    organization_id: z.uuid().optional(),
    reason: z.string().trim().min(1).max(500),
  }),
  decide: z.strictObject({ reset_id: z.uuid() }),
  nothing: z.strictObject({}),
};
