/**
 * The schedule under pg_cron on Debian's PostgreSQL 15: the log is sealed and verified without
 * calls.
 */
import assert from "node:assert/strict";
import { debianPostgres } from "../../scripts/stack/binaries.ts";
import { connect } from "../../scripts/stack/connection.ts";
import { missingFromDebian } from "../../scripts/testing/clusters.ts";
import { startTestCluster } from "../../scripts/testing/databases.ts";

const installation = debianPostgres();

Deno.test({
  name: "AUD-S01: pg_cron seals what was written, by the minute where it knows no seconds",
  ignore: installation === null || missingFromDebian() !== null,
  async fn() {
    const { url, stop } = await startTestCluster({ installation: installation!, cron: "running" });
    const sql = connect(url("postgres"));
    try {
      await sql`insert into bulwark.permissions values ('test:scheduled', 'x')`;
      const sealed = async () => {
        const [row] = await sql`
          select bulwark_private.audit_entry_is_sealed(e.id) as sealed
          from bulwark.audit_logs e
          where e.resource_id = 'test:scheduled'
        `;
        return row?.sealed === true;
      };
      assert.equal(await sealed(), false);
      const end = Date.now() + 150_000;
      while (!await sealed() && Date.now() < end) await new Promise((r) => setTimeout(r, 500));
      assert.equal(await sealed(), true);
      const runs = await sql`
        select distinct j.jobname, d.status
        from cron.job_run_details d
        join cron.job j on j.jobid = d.jobid
        where j.jobname = 'bulwark-audit-seal' and d.status in ('succeeded', 'failed')
      `;
      assert.deepEqual(runs.map(({ status }) => status), ["succeeded"]);
      // The other jobs are statements that run.
      const jobs = await sql<{ jobname: string; command: string }[]>`
        select jobname, command from cron.job
        where jobname like 'bulwark-audit-%'
          and jobname not in ('bulwark-audit-checkpoint', 'bulwark-audit-archive')
        order by jobname
      `;
      assert.deepEqual(jobs.map(({ jobname }) => jobname), [
        "bulwark-audit-check",
        "bulwark-audit-partitions",
        "bulwark-audit-retention",
        "bulwark-audit-seal",
      ]);
      for (const { command } of jobs) await sql.unsafe(command);
    } finally {
      await sql.end();
      await stop();
    }
  },
});
