/**
 * Function `bulwark-audit`: signs, archives and restores the log for the scheduler. Others read the
 * checkpoint, proofs and exports with their own rights.
 */
import { archive, restore } from "../_bulwark/audit/archive/routes.ts";
import { makeCheckpoint, readLogKeys } from "../_bulwark/audit/checkpoint.ts";
import { exportRule, notingPages } from "../_bulwark/audit/continuation.ts";
import { readAuditEnv } from "../_bulwark/audit/env.ts";
import { exportSource, respondWithExport } from "../_bulwark/audit/export.ts";
import { exportFormat } from "../_bulwark/audit/formats.ts";
import { checkpointLog } from "../_bulwark/audit/log.ts";
import { operations } from "../_bulwark/audit/operations.ts";
import {
  consistencyProof,
  inclusionProof,
  publishedCheckpoint,
} from "../_bulwark/audit/published.ts";
import { openSink } from "../_bulwark/audit/sink.ts";
import { answering } from "../_bulwark/foundation/answering.ts";
import { correlationIdOf, handle } from "../_bulwark/foundation/http.ts";
import { serviceClient } from "../_bulwark/foundation/service.ts";
import { readRateLimitEnv } from "../_bulwark/rate_limits/env.ts";
import { openLimits } from "../_bulwark/rate_limits/mod.ts";

const env = readAuditEnv();
const service = (request: Request) => serviceClient(env, correlationIdOf(request));
const serving = {
  env,
  limit: openLimits(readRateLimitEnv()),
  rules: { export: exportRule(service) },
};

const answer = answering(operations, serving, {
  readCheckpoint: ({ client }) => publishedCheckpoint(client),
  proof: ({ client, asked }) => inclusionProof(client, asked),
  consistency: ({ client, asked }) => consistencyProof(client, asked),
  async export({ request, client, asked, charged }) {
    const { signers } = env.signingKeys === null ? { signers: [] } : await readLogKeys(env);
    const log = exportSource(client, asked.organization_id, asked.purpose);
    const source = notingPages(log, service(request), charged, asked);
    const format = exportFormat(asked.format);
    return await respondWithExport(source, { ...asked, format, signers });
  },
  makeCheckpoint: async ({ client }) =>
    await makeCheckpoint(checkpointLog(client), await readLogKeys(env), openSink(env)),
  archive: ({ client, asked }) => archive(client, env, asked),
  restore: ({ client, asked }) => restore(client, env, asked),
});

Deno.serve(handle(answer));
