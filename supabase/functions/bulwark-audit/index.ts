/**
 * Function `bulwark-audit`: signs the log's head for the scheduler (`POST …/checkpoint`). A bearer
 * reads the checkpoint, proofs (`…/proof?id=`, `…/proof/consistency?from=&to=`) and exports. The
 * scheduler also archives months (`POST …/archive`) and restores them (`POST …/archive/restore`).
 */
import { readLogKeys } from "../_bulwark/audit/checkpoint.ts";
import { exportSource, respondWithExport } from "../_bulwark/audit/export.ts";
import { consistencyQuery, exportQuery, proofQuery } from "../_bulwark/audit/input.ts";
import { exportRule, notingPages } from "../_bulwark/audit/continuation.ts";
import {
  consistencyProof,
  inclusionProof,
  publishedCheckpoint,
} from "../_bulwark/audit/published.ts";
import { scheduledRoutes } from "../_bulwark/audit/scheduled.ts";
import { callerClient } from "../_bulwark/foundation/caller.ts";
import { readAuditEnv } from "../_bulwark/audit/env.ts";
import { readRateLimitEnv } from "../_bulwark/rate_limits/env.ts";
import { correlationIdOf, handle } from "../_bulwark/foundation/http.ts";
import { parse, queryOf } from "../_bulwark/foundation/input.ts";
import { openLimits } from "../_bulwark/rate_limits/mod.ts";
import { router } from "../_bulwark/foundation/router.ts";
import { callerOrService, serviceClient } from "../_bulwark/foundation/service.ts";

const env = readAuditEnv();
const limit = openLimits(readRateLimitEnv());
const service = (request: Request, more = {}) => serviceClient(env, correlationIdOf(request), more);

const answer = router(limit, {
  ...scheduledRoutes(limit, env, service),
  "GET /bulwark-audit/checkpoint": limit("api_default", async (request) => {
    return Response.json(await publishedCheckpoint(callerClient(request, env)));
  }),
  "GET /bulwark-audit/proof": limit("api_default", async (request) => {
    const client = callerClient(request, env);
    return Response.json(await inclusionProof(client, parse(proofQuery, queryOf(request))));
  }),
  "GET /bulwark-audit/proof/consistency": limit("api_default", async (request) => {
    const client = callerClient(request, env);
    return Response.json(await consistencyProof(client, parse(consistencyQuery, queryOf(request))));
  }),
  "GET /bulwark-audit/export": limit(
    exportRule(service, env.secretKey),
    async (request, charged) => {
      const client = callerOrService(request, env);
      const asked = parse(exportQuery, queryOf(request));
      const { signers } = env.signingKeys === null ? { signers: [] } : await readLogKeys(env);
      const log = exportSource(client, asked.organization_id);
      const source = notingPages(log, service(request), charged, asked);
      return await respondWithExport(source, { ...asked, signers });
    },
  ),
});

Deno.serve(handle(answer));
