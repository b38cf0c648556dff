/**
 * Function `bulwark-rbac`: checks permissions for services that do not use the Data API.
 *
 * `GET /bulwark-rbac?permission=audit:read&organization_id=…` answers 204 or 403, as the forward-auth
 * request of a reverse proxy wants it. `POST /bulwark-rbac` with `{ permissions, organization_id }` answers
 * 200 `{ allowed: { "audit:read": true } }`. Both act as the bearer of the token.
 */
import { z } from "zod";
import { callerClient } from "../_bulwark/foundation/caller.ts";
import { readRateLimitEnv } from "../_bulwark/rate_limits/env.ts";
import { handle, readJson } from "../_bulwark/foundation/http.ts";
import { id, parse, queryOf } from "../_bulwark/foundation/input.ts";
import {
  checkPermissions,
  type Permission,
  requirePermission,
} from "../_bulwark/rbac/permissions.ts";
import { openLimits } from "../_bulwark/rate_limits/mod.ts";
import { router } from "../_bulwark/foundation/router.ts";

const permission = z.string().max(64).regex(/^[a-z][a-z0-9_]*:[a-z][a-z0-9_]*$/)
  .transform((name) => name as Permission);
const organizationId = id.nullable().default(null);
const question = z.strictObject({ permission, organization_id: organizationId });
const batch = z.strictObject({
  permissions: z.array(permission).max(100),
  organization_id: organizationId,
});

const env = readRateLimitEnv();
const limit = openLimits(env);

const answer = router(limit, {
  "GET /bulwark-rbac": limit("api_default", async (request) => {
    const client = callerClient(request, env);
    const asked = parse(question, queryOf(request));
    await requirePermission(client, asked.permission, asked.organization_id);
    return new Response(null, { status: 204 });
  }),
  "POST /bulwark-rbac": limit("api_default", async (request) => {
    const client = callerClient(request, env);
    const asked = parse(batch, await readJson(request));
    const allowed = await checkPermissions(client, asked.permissions, asked.organization_id);
    return Response.json({ allowed });
  }),
});

Deno.serve(handle(answer));
