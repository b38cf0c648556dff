import { z } from "zod";
import { id } from "../foundation/input.ts";

const name = z.string().trim().min(1).max(64).regex(/^\P{Cc}+$/u);
const code = z.string().max(128);

/** The request bodies of the function `bulwark-mfa`, by purpose. */
export const bodies = {
  enroll: z.strictObject({ name: name.default("Authenticator") }),
  code: z.strictObject({ code }),
  disable: z.union([
    z.strictObject({ factor_id: id }),
    z.strictObject({ backup_code: code }),
  ]),
  trust: z.strictObject({ name: name.default("This device") }),
  token: z.strictObject({ token: z.string().max(128) }),
  revoke: z.strictObject({ device_id: id.optional() }),
  reset: z.strictObject({
    user_id: id,
    organization_id: id.optional(),
    reason: z.string().trim().min(1).max(500),
  }),
  decide: z.strictObject({ reset_id: id }),
  nothing: z.strictObject({}),
};
