/** Function `bulwark-rbac`: checks permissions as the bearer of the token. */
import { answering } from "../_bulwark/foundation/answering.ts";
import { handle } from "../_bulwark/foundation/http.ts";
import { readRateLimitEnv } from "../_bulwark/rate_limits/env.ts";
import { openLimits } from "../_bulwark/rate_limits/mod.ts";
import { operations } from "../_bulwark/rbac/operations.ts";
import { checkPermissions, requirePermission } from "../_bulwark/rbac/permissions.ts";

const env = readRateLimitEnv();

const answer = answering(operations, { env, limit: openLimits(env) }, {
  async require({ client, asked }) {
    await requirePermission(client, asked.permission, asked.organization_id);
  },
  async check({ client, asked }) {
    const { permissions, organization_id } = asked;
    return { allowed: await checkPermissions(client, permissions, organization_id) };
  },
});

Deno.serve(handle(answer));
