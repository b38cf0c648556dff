/** The runbooks of the database itself: a full disk, an upgrade, a restore. */
import assert from "node:assert/strict";
import { join } from "node:path";
import postgres from "postgres";
import { upgradeText } from "../../scripts/building/upgrade_text.ts";
import { builtVersion } from "../../scripts/building/migrations.ts";
import { releaseMigrations } from "../../scripts/building/releases.ts";
import { embeddedPostgres } from "../../scripts/stack/binaries.ts";
import { migrate } from "../../scripts/stack/migrate.ts";
import { startScratchCluster } from "../../scripts/stack/scratch_cluster.ts";
import { as, contents, dumpAsCli, fillProject } from "../restores/backups.ts";
import { burnTransactions, debian } from "../restores/support.ts";
import { ok, service, signUp, superuserUrl } from "../support.ts";
import { madeUpNext } from "../upgrade/versions.ts";
import { runbookTest } from "./page.ts";

/** Makes the database read-only as the platform does, for every connection. */
async function makeReadOnly(): Promise<void> {
  const admin = postgres(superuserUrl, { max: 1, onnotice: () => {} });
  await admin`alter database postgres set default_transaction_read_only = on`;
  await admin`
    select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()`;
  await admin.end();
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !await holds().catch(() => false); tries++) {
    assert.ok(tries < 120, "waited in vain");
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

runbookTest(
  "RUN-12: a database that became read-only writes again, and its log is whole",
  "disk-full",
  async (
    page,
  ) => {
    const admin = postgres(superuserUrl, { max: 1, onnotice: () => {} });
    // Objects of the shape of pg_cron's and pg_net's: neither can run here.
    await admin.unsafe(`
    create schema cron;
    create table cron.job_run_details (start_time timestamptz);
    insert into cron.job_run_details values (now() - interval '1 year'), (now());
    create schema net;
    create table net._http_response (created timestamptz);
    grant usage on schema cron, net to postgres;
    grant select, delete on all tables in schema cron, net to postgres;
  `);
    await signUp("before");
    await makeReadOnly();
    const write = () =>
      service().rpc("log_audit_event", { event_type: "data.read", action: "look" });
    await until(async () => /read-only/.test((await write()).error?.message ?? ""));
    const [state] = await page.run("Symptoms");
    assert.equal(state?.rows[0]?.read_only, "on");
    const [sizes] = await page.run("What takes the room");
    assert.ok((sizes?.rows.length ?? 0) > 0);

    await page.run("Make room");
    const left = await admin`select from cron.job_run_details`;
    assert.equal(left.length, 1, "only what is old is gone");
    await page.run("Let everybody write again");
    await admin`
    select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()`;
    await until(async () => (await write()).error === null);
    ok(await write());
    await until(async () => {
      const [over] = await page.run("It is over when");
      return over?.rows[0]?.overdue_entries === "0";
    });
    const [over] = await page.run("It is over when");
    assert.deepEqual(over?.rows, [{
      overdue_entries: "0",
      gaps: "0",
      intact: true,
      complete: true,
    }]);
    await signUp("after");
    // Its connection is from the time of the outage.
    await admin.unsafe("begin read write; drop schema cron, net cascade; commit");
    await admin.end();
  },
);

runbookTest(
  "RUN-13: an upgrade that meets a lock changes nothing, and is applied after it",
  "upgrade-and-rollback",
  async (
    page,
  ) => {
    const target = await startScratchCluster("runbook-upgrade", embeddedPostgres());
    const project = await Deno.makeTempDir({ prefix: "bulwark-runbook-project-" });
    const databaseUrl = target.cluster.url("postgres", target.password);
    const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} });
    try {
      const migrations = join(project, "supabase", "migrations");
      await Deno.mkdir(migrations, { recursive: true });
      await Deno.writeTextFile(
        join(project, "supabase", "config.toml"),
        'project_id = "runbook"\n',
      );
      const present = await builtVersion();
      for (const [index, [name, text]] of [...present].sort().entries()) {
        const time = String(20260101000000 + index);
        await Deno.writeTextFile(join(migrations, `${time}_bulwark_${name.slice(3)}.sql`), text);
      }
      await page.move(databaseUrl, project);
      await page.run("Apply it");
      const [before] = await page.run("Before an upgrade");

      const { next, byHand } = madeUpNext(present);
      const parts = releaseMigrations(present, next, byHand);
      await Deno.writeTextFile(
        join(migrations, "20260201000000_bulwark_upgrade.sql"),
        upgradeText("9.9.9", [...parts.values()]),
      );
      const [{ pid }] = await sql`select pg_backend_pid() as pid` as unknown as [{ pid: number }];
      await sql.unsafe("begin; lock table bulwark.settings in access share mode");
      const [failed] = await page.run("Apply it", {}, { exitCode: 1 });
      assert.match(failed?.output ?? "", /lock timeout/);
      const [unchanged] = await page.run("Before an upgrade");
      assert.equal(unchanged?.rows[0]?.version, before?.rows[0]?.version);
      const [holders] = await page.run("It fails for a lock", { pid: String(pid) });
      assert.equal(holders?.rows[0]?.pid, pid, "the oldest transaction is named");

      await page.run("Apply it");
      const [over] = await page.run("It is over when");
      assert.deepEqual(over?.rows, [{
        version: "9.9.9",
        intact: true,
        complete: true,
        touched_objects: [],
      }]);
    } finally {
      await sql.end({ timeout: 0 }).catch(() => {});
      await target.stop();
      await Deno.remove(project, { recursive: true });
    }
  },
);

if (debian) {
  const installation = debian;
  runbookTest(
    "RUN-14: a backup is loaded into a new project, closed, settled and verified",
    "restore",
    async (
      page,
    ) => {
      const [from, to] = [
        await startScratchCluster("runbook-backup", installation),
        await startScratchCluster("runbook-restore", installation),
      ];
      const folder = await Deno.makeTempDir({ prefix: "bulwark-runbook-backup-" });
      try {
        await migrate(from);
        const before = await as(from, "postgres", async (sql) => {
          await burnTransactions(sql);
          await fillProject(sql);
          return await contents(sql);
        });
        // As `supabase db dump` writes them.
        for (const [name, text] of Object.entries(await dumpAsCli(from))) {
          await Deno.writeTextFile(join(folder, `${name}.sql`), text);
        }
        await from.stop();
        // Some projects open all that is made to their API roles.
        await as(to, "postgres", async (sql) => {
          await sql`
          alter default privileges grant all on functions to anon, authenticated, service_role`;
        });
        await page.move(to.cluster.url("postgres", to.password));
        const values = { "backup folder": folder, ticket: "11" };
        await page.run("Load the backup", values, { blocks: [0] });
        await as(to, "postgres", async (sql) => {
          assert.deepEqual(await contents(sql), before, "everything is there as it was");
          const open = await sql`
          select problem from bulwark_private.restore_problems() where problem = 'privilege_open'`;
          assert.equal(open.length, 0, "nothing is open before the first seal");
        });
        await page.run("Load the backup", values, { blocks: [1] });
        await page.run("Afterwards", values);
        const [over] = await page.run("It is over when", values);
        assert.deepEqual(over?.rows, [{
          settled: true,
          problems: [],
          timeline: "2",
          intact: true,
          complete: true,
        }]);
      } finally {
        await from.stop();
        await to.stop();
        await Deno.remove(folder, { recursive: true });
      }
    },
  );
}
