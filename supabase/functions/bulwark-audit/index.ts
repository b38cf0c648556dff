/**
 * Function `bulwark-audit`: signs the log's head for the scheduler (`POST
 * /bulwark-audit/checkpoint`). With the rights of the bearer it returns the newest checkpoint (`GET
 * /bulwark-audit/checkpoint`), proofs (`GET /bulwark-audit/proof?id=`, `GET
 * /bulwark-audit/proof/consistency?from=&to=`) and exports (`GET
 * /bulwark-audit/export?format=&organization_id=&cursor=&limit=`).
 */
import { makeCheckpoint, readLogKeys } from "../_bulwark/audit/checkpoint.ts";
import { exportHeaders, exportSource, startExport } from "../_bulwark/audit/export.ts";
import { consistencyQuery, exportQuery, proofQuery } from "../_bulwark/audit/input.ts";
import { exportRule, notingPages } from "../_bulwark/audit/continuation.ts";
import { checkpointLog } from "../_bulwark/audit/log.ts";
import { publishedCheckpoint } from "../_bulwark/audit/published.ts";
import { openSink } from "../_bulwark/audit/sink.ts";
import { callerClient } from "../_bulwark/foundation/caller.ts";
import { readAuditEnv } from "../_bulwark/audit/env.ts";
import { readRateLimitEnv } from "../_bulwark/rate_limits/env.ts";
import { unwrap } from "../_bulwark/foundation/errors.ts";
import { correlationIdOf, handle } from "../_bulwark/foundation/http.ts";
import { parse, queryOf } from "../_bulwark/foundation/input.ts";
import { openLimits } from "../_bulwark/rate_limits/mod.ts";
import { router } from "../_bulwark/foundation/router.ts";
import { forScheduler, schedulerTimeoutMs } from "../_bulwark/foundation/scheduler.ts";
import { callerOrService, serviceClient } from "../_bulwark/foundation/service.ts";

const env = readAuditEnv();
const limit = openLimits(readRateLimitEnv());
const serviceFor = (request: Request) => serviceClient(env, correlationIdOf(request));

const answer = router(limit, {
  "POST /bulwark-audit/checkpoint": forScheduler(limit, env.schedulerSecret, async (request) => {
    const options = { timeoutMs: schedulerTimeoutMs };
    const log = checkpointLog(serviceClient(env, correlationIdOf(request), options));
    return Response.json(await makeCheckpoint(log, await readLogKeys(env), openSink(env)));
  }),
  "GET /bulwark-audit/checkpoint": limit("api_default", async (request) => {
    return Response.json(await publishedCheckpoint(callerClient(request, env)));
  }),
  "GET /bulwark-audit/proof": limit("api_default", async (request) => {
    const client = callerClient(request, env);
    const { id: entry_id } = parse(proofQuery, queryOf(request));
    return Response.json(unwrap(await client.rpc("audit_inclusion_proof", { entry_id })));
  }),
  "GET /bulwark-audit/proof/consistency": limit("api_default", async (request) => {
    const client = callerClient(request, env);
    const { from: from_size, to: to_size } = parse(consistencyQuery, queryOf(request));
    const sizes = { from_size, to_size };
    return Response.json(unwrap(await client.rpc("audit_consistency_proof", sizes)));
  }),
  "GET /bulwark-audit/export": limit(
    exportRule(serviceFor, env.secretKey),
    async (request, charged) => {
      const client = callerOrService(request, env);
      const asked = parse(exportQuery, queryOf(request));
      const { signers } = env.signingKeys === null ? { signers: [] } : await readLogKeys(env);
      const log = exportSource(client, asked.organization_id);
      const source = notingPages(log, serviceFor(request), charged, asked);
      const { body, next } = await startExport(source, { ...asked, signers });
      return new Response(body, { headers: exportHeaders(asked.format, next) });
    },
  ),
});

Deno.serve(handle(answer));
