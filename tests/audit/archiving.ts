/** Archives the months through that of the first argument, in a process that a test may kill. */
import { readAuditEnv } from "../../supabase/functions/_bulwark/audit/env.ts";
import { archiveMonths } from "../../supabase/functions/_bulwark/audit/archive/archiving.ts";
import { openBucket } from "../../supabase/functions/_bulwark/audit/archive/bucket.ts";
import { archiveLog } from "../../supabase/functions/_bulwark/audit/archive/log.ts";
import { readLogKeys } from "../../supabase/functions/_bulwark/audit/checkpoint.ts";
import { serviceClient } from "../../supabase/functions/_bulwark/foundation/service.ts";

const env = readAuditEnv();
const keys = await readLogKeys(env);
const log = archiveLog(serviceClient(env, crypto.randomUUID()), keys.signers);
const bucket = openBucket(env.archive!);
const through = Deno.args[0] ?? null;
const report = await archiveMonths({ log, bucket, keys, through, timeMs: 60_000 });
console.log(JSON.stringify(report));
