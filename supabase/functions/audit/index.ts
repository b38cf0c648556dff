/**
 * Function `audit`: signs the log's head for the scheduler (`POST /audit/checkpoint`) and hands out,
 * as the bearer of the token, the newest checkpoint (`GET /audit/checkpoint`), proofs
 * (`GET /audit/proof?id=`, `GET /audit/proof/consistency?from=&to=`) and exports
 * (`GET /audit/export?format=&organization_id=&cursor=&limit=`).
 */
import { makeCheckpoint, readLogKeys } from "../_shared/audit/checkpoint.ts";
import { exportHeaders, exportSource, startExport } from "../_shared/audit/export.ts";
import { consistencyQuery, exportQuery, proofQuery } from "../_shared/audit/input.ts";
import { checkpointLog } from "../_shared/audit/log.ts";
import { publishedCheckpoint } from "../_shared/audit/published.ts";
import { openSink } from "../_shared/audit/sink.ts";
import { callerClient } from "../_shared/caller.ts";
import { readAuditEnv, readRateLimitEnv } from "../_shared/env.ts";
import { unwrap } from "../_shared/errors.ts";
import { correlationIdOf, handle } from "../_shared/http.ts";
import { parse } from "../_shared/input.ts";
import { openLimits } from "../_shared/rate_limit.ts";
import { router } from "../_shared/router.ts";
import { requireScheduler } from "../_shared/scheduler.ts";
import { callerOrService, serviceClient } from "../_shared/service.ts";

const env = readAuditEnv();
const limit = openLimits(readRateLimitEnv());
const query = (request: Request) => Object.fromEntries(new URL(request.url).searchParams);
/** An export is one whole, however many pages it has. */
const exportRule = (request: Request) => "cursor" in query(request) ? "api_relaxed" : "export";

const answer = router({
  async "POST /audit/checkpoint"(request) {
    requireScheduler(request, env.schedulerSecret);
    const log = checkpointLog(serviceClient(env, correlationIdOf(request)));
    return Response.json(await makeCheckpoint(log, await readLogKeys(env), openSink(env)));
  },
  "GET /audit/checkpoint": limit("api_default", async (request) => {
    return Response.json(await publishedCheckpoint(callerClient(request, env)));
  }),
  "GET /audit/proof": limit("api_default", async (request) => {
    const client = callerClient(request, env);
    const { id: entry_id } = parse(proofQuery, query(request));
    return Response.json(unwrap(await client.rpc("audit_inclusion_proof", { entry_id })));
  }),
  "GET /audit/proof/consistency": limit("api_default", async (request) => {
    const client = callerClient(request, env);
    const { from: from_size, to: to_size } = parse(consistencyQuery, query(request));
    const sizes = { from_size, to_size };
    return Response.json(unwrap(await client.rpc("audit_consistency_proof", sizes)));
  }),
  "GET /audit/export": limit(exportRule, async (request) => {
    const client = callerOrService(request, env);
    const asked = parse(exportQuery, query(request));
    const { signers } = env.signingKeys === null ? { signers: [] } : await readLogKeys(env);
    const source = exportSource(client, asked.organization_id);
    const { body, next } = await startExport(source, { ...asked, signers });
    return new Response(body, { headers: exportHeaders(asked.format, next) });
  }),
});

Deno.serve(handle(["GET", "POST"], answer));
