/** The command around the checks: what it prints, how it ends, and what it never does. */
import assert from "node:assert/strict";
import { inReadOnlyTransaction, parseTarget } from "../../cli/doctor/connection.ts";
import { connect } from "../../scripts/stack/connection.ts";
import { makeScratchFolder } from "../../scripts/stack/scratch.ts";
import { examine, type Patient, problemsOf, reportOn, withPatient } from "./support.ts";

const steps: ((t: Deno.TestContext, patient: Patient) => Promise<unknown>)[] = [
  (t, patient) =>
    t.step("DOC-02: what was pushed and not deployed is named", async () => {
      const report = await reportOn(patient);
      assert.deepEqual(problemsOf(report), [
        "ADDRESS_HEADER_UNSET rate_limits.address_header",
        "ALERT_WITHOUT_RECEIVER bulwark.webhook_endpoints",
        "CHECKPOINT_NEVER bulwark.audit_checkpoints",
        "EXTENSION_MISSING pg_cron",
        "EXTENSION_MISSING pg_net",
        "REQUEST_HOOK_NOT_INSTALLED",
        "SEAL_LATE bulwark.audit_logs",
      ]);
    }),
  (t, patient) =>
    t.step("DOC-03: on a local database these are notes, and it is clean", async () => {
      const { code, output } = await examine(["--db", patient.url("postgres"), "--json"]);
      const report = JSON.parse(output);
      assert.equal(code, 0);
      assert.equal(report.clean, true);
      assert.equal(report.local, true);
      assert.ok(report.findings.some((one: { code: string }) => one.code === "CHECKPOINT_NEVER"));
    }),
  (t, patient) =>
    t.step("DOC-04: the report has the documented shape, errors first", async () => {
      const report = await reportOn(patient);
      assert.deepEqual(Object.keys(report), [
        "format",
        "database",
        "local",
        "findings",
        "summary",
        "clean",
      ]);
      assert.equal(report.format, 1);
      assert.match(report.database, /^127\.0\.0\.1:\d+\/\w+$/);
      const severities = report.findings.map(({ severity }) => severity);
      const sorted = severities.toSorted((one, other) =>
        ["error", "warning", "note"].indexOf(one) - ["error", "warning", "note"].indexOf(other)
      );
      assert.deepEqual(severities, sorted);
      for (const finding of report.findings) {
        assert.deepEqual(Object.keys(finding), ["code", "severity", "object", "message", "action"]);
      }
    }),
  (t, patient) =>
    t.step("DOC-05: neither the password nor another secret is printed", async () => {
      const url = new URL(patient.url("postgres"));
      const password = url.password;
      assert.ok(password.length > 20);
      const wrong = new URL(url);
      wrong.password = "not-the-password-at-all";
      const closed = new URL(url);
      closed.port = "1";
      for (const address of [url.href, wrong.href, closed.href, `x${url.href}`, `::${url.href}`]) {
        for (const options of [[], ["--json"], ["--strict"], ["--nonsense"]]) {
          const { code, output, errors } = await examine(["--db", address, ...options]);
          assert.ok(!`${output}${errors}`.includes(password));
          assert.ok(!`${output}${errors}`.includes("not-the-password-at-all"));
          if (address !== url.href) assert.equal(code, 2);
        }
      }
    }),
  (t, patient) =>
    t.step(
      "DOC-06: other roles than the owner, and databases without Bulwark, end it",
      async () => {
        const asOther = await examine(["--db", patient.url("authenticator"), "--json"]);
        assert.equal(asOther.code, 2);
        assert.equal(JSON.parse(asOther.output).error.code, "CLI_NOT_THE_OWNER");
        const empty = new URL(patient.url("postgres"));
        empty.pathname = "/template1";
        const without = await examine(["--db", empty.href, "--json"]);
        assert.equal(without.code, 2);
        assert.equal(JSON.parse(without.output).error.code, "CLI_NOT_IN_DATABASE");
        assert.equal((await examine([])).code, 2);
      },
    ),
  (t, patient) =>
    t.step("DOC-07: it cannot write, and leaves no trace in the database", async () => {
      const target = parseTarget(patient.url("postgres"));
      await assert.rejects(
        inReadOnlyTransaction(target, (sql) => sql`delete from bulwark.settings`),
        { code: "25006" },
      );
      const state = () =>
        patient.postgres`
          select (select pg_snapshot_xmax(pg_current_snapshot())::text) as xid,
            (select count(*) from bulwark.audit_logs) as entries
        `;
      const [before] = await state();
      await reportOn(patient);
      assert.deepEqual(await state().then(([row]) => ({ ...row })), { ...before });
    }),
  (t, patient) =>
    t.step("DOC-08: a check that waits for a lock is a finding, and the others go on", async () => {
      const other = connect(patient.url("postgres"));
      try {
        await other`begin`;
        await other`lock table bulwark.webhook_endpoints in access exclusive mode`;
        const report = await reportOn(patient);
        assert.deepEqual(
          problemsOf(report).filter((problem) => problem.startsWith("CHECK_FAILED")),
          ["CHECK_FAILED alertReceivers"],
        );
        assert.ok(report.findings.some(({ message }) => message.endsWith("SQLSTATE 55P03")));
        assert.ok(problemsOf(report).includes("REQUEST_HOOK_NOT_INSTALLED"));
      } finally {
        await other`rollback`;
        await other.end();
      }
    }),
  (t, patient) =>
    t.step("DOC-09: in a project its files are read, too", async () => {
      const { path, remove } = await makeScratchFolder("doctor");
      try {
        await Deno.mkdir(`${path}/supabase/functions`, { recursive: true });
        const write = (name: string, text: string) =>
          Deno.writeTextFile(`${path}/supabase/${name}`, text);
        const here = async () =>
          (await reportOn(patient, path)).findings.map(({ code, object }) => `${code} ${object}`);
        await write("config.toml", `[api]\nschemas = [\n  "public", # "bulwark",\n]\n`);
        let found = await here();
        assert.ok(!found.some((one) => one.startsWith("FUNCTION_SECRET_")), "there is no .env");
        assert.ok(found.includes("SCHEMA_NOT_EXPOSED supabase/config.toml"));
        assert.ok(found.includes("TOKEN_HOOK_OFF auth.hook.custom_access_token"));
        assert.ok(!found.some((one) => one.startsWith("EXPOSED_SCHEMAS_UNKNOWN")));

        const hook = (uri: string) =>
          `[auth.hook.custom_access_token]\nenabled = true\nuri = ${uri}\n`;
        await write(
          "config.toml",
          `[api]\nschemas = ["public", "bulwark", 'bulwark_private']\n` +
            hook(`"pg-functions://postgres/public/theirs"`),
        );
        await write("functions/.env", "BULWARK_SCHEDULER_SECRET=short\n# comment\nOTHER='x'\n");
        await write("one.sql", "select 1;\r\n");
        await write("two.sql", "select 2;\n");
        const hashes = {
          // SHA-256 of "select 1;" and a line feed.
          "supabase/one.sql": {
            sha256: "4a45092ccf992ea92250053a80b931b787924ba61648f420555511b84f10ab6c",
          },
          "supabase/two.sql": { sha256: "0".repeat(64) },
          "supabase/gone.sql": { sha256: "0".repeat(64) },
        };
        await write(
          "bulwark.json",
          JSON.stringify({
            version: "0.0.1",
            capabilities: [],
            config: { sections: [] },
            env: [],
            files: hashes,
          }),
        );
        found = await here();
        assert.ok(found.includes("PRIVATE_SCHEMA_EXPOSED supabase/config.toml"));
        assert.ok(found.includes("TOKEN_HOOK_NOT_CHAINED auth.hook.custom_access_token"));
        assert.ok(found.includes("FUNCTION_SECRET_WEAK BULWARK_SCHEDULER_SECRET"));
        assert.ok(found.includes("FUNCTION_SECRET_MISSING BULWARK_MFA_PEPPER"));
        assert.ok(found.includes("FILE_EDITED supabase/two.sql"));
        assert.ok(found.includes("FILE_MISSING supabase/gone.sql"));
        assert.ok(!found.includes("FILE_EDITED supabase/one.sql"), "line endings are no edit");

        const ours = hook(`"pg-functions://postgres/bulwark/custom_access_token_hook"`);
        await write("config.toml", `[api]\nschemas = ["public", "bulwark"]\n${ours}`);
        found = await here();
        for (const code of ["SCHEMA", "TOKEN_HOOK", "EXPOSED", "PRIVATE"]) {
          assert.ok(!found.some((one) => one.startsWith(code)), code);
        }
      } finally {
        await remove();
      }
    }),
  (t, patient) =>
    t.step("DOC-10: versions and the project's own organizations are compared", async () => {
      const { path, remove } = await makeScratchFolder("doctor");
      try {
        await standIns(patient);
        await Deno.mkdir(`${path}/supabase`);
        await Deno.writeTextFile(`${path}/supabase/config.toml`, "");
        const lock = {
          version: "0.0.1",
          capabilities: [],
          config: { sections: [] },
          env: [],
          files: {},
        };
        await Deno.writeTextFile(`${path}/supabase/bulwark.json`, JSON.stringify(lock));
        const found = (await reportOn(patient, path)).findings
          .map(({ code, object }) => `${code} ${object}`);
        assert.ok(found.includes("VERSION_MISMATCH supabase/bulwark.json"));
        assert.ok(found.includes("TENANT_PROBLEM public.teams"));
      } finally {
        await remove();
      }
    }),
  (t, patient) =>
    t.step("DOC-11: what cannot be known is said", async () => {
      const { findings } = await reportOn(patient);
      const notes = findings.filter(({ severity }) => severity === "note").map(({ code }) => code);
      for (const code of ["FUNCTION_SECRETS_UNKNOWN", "TOKEN_HOOK_UNKNOWN"]) {
        assert.ok(notes.includes(code as typeof notes[number]), code);
      }
      // A stand-in: the embedded server cannot have pg_cron, and no server changes this setting
      // while it runs.
      await patient.admin.unsafe(`
        create schema cron;
        create table cron.job (jobid bigint, jobname text, active boolean, command text,
          schedule text, database text);
        create table cron.job_run_details (runid bigint, jobid bigint, status text,
          start_time timestamptz);
        insert into cron.job
        select row_number() over (), 'bulwark-' || b.name, true, b.command,
          bulwark_private.crontab(b.name, coalesce(extract(epoch from b.every)::integer,
            bulwark_private.setting(b.seconds_setting)::integer)), current_database()
        from bulwark_private.jobs b where b.function_path is null;
        grant usage on schema cron to postgres;
        grant select on cron.job, cron.job_run_details to postgres;
        alter database ${
        new URL(patient.url("postgres")).pathname.slice(1)
      } set cron.log_run = 'off'
      `);
      const found = (await reportOn(patient)).findings.map(({ code }) => code);
      assert.ok(found.includes("JOB_LOG_OFF"));
      assert.ok(!found.includes("JOB_NOT_RUNNING"));
    }),
];

/** Functions whose answers would need a whole other application, replaced in this copy alone. */
async function standIns({ admin }: Patient): Promise<void> {
  await admin.unsafe(`
    drop function if exists bulwark.version(), bulwark_private.host_organization_problems();
    create function bulwark.version() returns text language sql as $$ select 'another'::text $$;
    create function bulwark_private.host_organization_problems()
      returns table (problem text, object text) language sql
      as $$ values ('trigger_missing', 'public.teams') $$`);
}

Deno.test("bulwark doctor", async (t) => {
  await withPatient(17, false, async (patient) => {
    // Entries of the migrations count as overdue after a while; here at once.
    await patient.postgres`
      update bulwark.settings set value = '0' where name = 'audit.seal_overdue_seconds'
    `;
    for (const step of steps) await step(t, patient);
  });
});
