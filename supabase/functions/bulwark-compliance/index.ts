/** Function `bulwark-compliance`: a compliance report, signed with the keys of the audit log. */
import { readLogKeys } from "../_bulwark/audit/checkpoint.ts";
import { readAuditEnv } from "../_bulwark/audit/env.ts";
import { operations } from "../_bulwark/compliance/operations.ts";
import { signedReport } from "../_bulwark/compliance/report.ts";
import { answering } from "../_bulwark/foundation/answering.ts";
import { handle } from "../_bulwark/foundation/http.ts";
import { readRateLimitEnv } from "../_bulwark/rate_limits/env.ts";
import { openLimits } from "../_bulwark/rate_limits/mod.ts";

const env = readAuditEnv();

const answer = answering(operations, { env, limit: openLimits(readRateLimitEnv()) }, {
  async report({ client, asked }) {
    const { signers } = env.signingKeys === null ? { signers: [] } : await readLogKeys(env);
    return await signedReport(client, asked, signers);
  },
});

Deno.serve(handle(answer));
