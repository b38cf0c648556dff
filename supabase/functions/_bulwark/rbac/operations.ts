/**
 * The operations of the function `bulwark-rbac`: permission checks for services that do not use the
 * Data API.
 */
import { z } from "zod";
import { id } from "../foundation/input.ts";
import { operation } from "../foundation/operation.ts";
import type { Permission } from "./permissions.ts";

const permission = z.string().max(64).regex(/^[a-z][a-z0-9_]*:[a-z][a-z0-9_]*$/)
  .transform((name) => name as Permission);
const organization_id = id.nullable().default(null);
const user = { auth: ["user"], rule: "api_default", path: "/bulwark-rbac" } as const;

export const operations = {
  require: operation({
    ...user,
    method: "GET",
    summary: "Answers 204 or 403, as the forward-auth request of a reverse proxy wants it",
    input: z.strictObject({ permission, organization_id }),
    errors: ["MFA_REQUIRED", "RBAC_PERMISSION_DENIED", "RBAC_UNKNOWN_PERMISSION"],
  }),
  check: operation({
    ...user,
    method: "POST",
    summary: "Tells which of up to 100 permissions the caller has",
    input: z.strictObject({ permissions: z.array(permission).max(100), organization_id }),
    output: () => z.object({ allowed: z.record(z.string(), z.boolean()) }),
    errors: ["RBAC_UNKNOWN_PERMISSION"],
  }),
};
