/**
 * Function `bulwark-compliance`: a compliance report, signed with the keys of the audit log
 * (`GET …/report?organization_id=&since=&until=`).
 */
import { readLogKeys } from "../_bulwark/audit/checkpoint.ts";
import { readAuditEnv } from "../_bulwark/audit/env.ts";
import { reportQuery } from "../_bulwark/compliance/input.ts";
import { signedReport } from "../_bulwark/compliance/report.ts";
import { carriesSecret } from "../_bulwark/foundation/credentials.ts";
import { handle } from "../_bulwark/foundation/http.ts";
import { parse, queryOf } from "../_bulwark/foundation/input.ts";
import { router } from "../_bulwark/foundation/router.ts";
import { callerOrService } from "../_bulwark/foundation/service.ts";
import { readRateLimitEnv } from "../_bulwark/rate_limits/env.ts";
import { openLimits } from "../_bulwark/rate_limits/mod.ts";

const env = readAuditEnv();
const limit = openLimits(readRateLimitEnv());
// The secret key is not limited.
const rule = (request: Request) => carriesSecret(request, [env.secretKey]) ? null : "export";

const answer = router(limit, {
  "GET /bulwark-compliance/report": limit(rule, async (request) => {
    const client = callerOrService(request, env);
    const asked = parse(reportQuery, queryOf(request));
    const { signers } = env.signingKeys === null ? { signers: [] } : await readLogKeys(env);
    return await signedReport(client, asked, signers);
  }),
});

Deno.serve(handle(answer));
