/** Databases for the doctor: a deployed project as it should be, on Postgres 17 and 15. */
import { doctor } from "../../cli/commands/doctor.ts";
import { CliError } from "../../cli/errors.ts";
import type { Report } from "../../cli/doctor/report.ts";
import type { Terminal } from "../../cli/terminal.ts";
import { debianPostgres, embeddedPostgres } from "../../scripts/stack/binaries.ts";
import { connect, type Sql } from "../../scripts/stack/connection.ts";
import { startTestCluster } from "../../scripts/testing/databases.ts";

/** A database to be examined. */
export interface Patient {
  /** `17` without pg_cron, `15` with it. */
  major: 15 | 17;
  /** As the role that hosted projects have, which is no superuser. */
  postgres: Sql;
  /** As the superuser, for what the platform does. */
  admin: Sql;
  url(role: string): string;
}

/** Runs a test on a healthy project of each version that can be run here. */
export async function onEachVersion(test: (patient: Patient) => Promise<void>): Promise<void> {
  await withPatient(17, true, test);
  if (debianPostgres()) await withPatient(15, true, test);
}

/** Runs a test on a project of one version; without `deployed` only the migrations were pushed. */
export async function withPatient(
  major: 15 | 17,
  deployed: boolean,
  test: (patient: Patient) => Promise<void>,
): Promise<void> {
  const installation = major === 17 ? embeddedPostgres() : debianPostgres();
  if (!installation) return;
  const cluster = await startTestCluster({
    installation,
    ...major === 15 && { cron: "installed" as const },
  });
  const run = async (database: string) => {
    const url = (role: string) => cluster.url(role, database);
    const postgres = connect(url("postgres"));
    const admin = connect(url("supabase_admin"));
    try {
      if (deployed) await deploy(postgres, admin);
      await test({ major, postgres, admin, url });
    } finally {
      await postgres.end();
      await admin.end();
    }
  };
  try {
    // pg_cron works in one database only.
    await run(major === 15 ? "postgres" : await cluster.copy());
  } finally {
    await cluster.stop();
  }
}

/**
 * The steps of docs/deployment.md that the project in use has not taken. pg_net has a stand-in,
 * because it cannot be run here.
 */
async function deploy(postgres: Sql, admin: Sql): Promise<void> {
  await admin.unsafe(`
    create schema net;
    create function net.http_post(
      url text, body jsonb default '{}', params jsonb default '{}', headers jsonb default '{}',
      timeout_milliseconds integer default 5000
    ) returns bigint language sql as 'select 1';
    grant usage on schema net to postgres;
    alter role authenticator set pgrst.db_schemas = 'public, bulwark';
  `);
  await postgres.unsafe(`
    update bulwark.settings set value = '"x-forwarded-for"'
    where name = 'rate_limits.address_header';
    select bulwark.install_request_hook();
    select bulwark.schedule_jobs();
    select tests.webhook_endpoint(gen_random_uuid(), null, '{security.*}');
  `);
  // The cluster is a copy and stood still, so its jobs have not run for longer than they may. The
  // cases have runs of bulwark-audit-check of their own.
  await admin.unsafe(`
    do $$
    begin
      if to_regclass('cron.job') is null then return; end if;
      -- pg_cron starts nothing here, because it looks into another database.
      update cron.job set database = current_database();
      insert into cron.job_run_details (jobid, runid, status, start_time, end_time)
      select j.jobid, nextval('cron.runid_seq'), 'succeeded', now(), now() from cron.job j
      where j.jobname <> 'bulwark-audit-check';
    end;
    $$
  `);
  // Signatures are made outside: the functions sign, here a helper does.
  await postgres.unsafe(`
    create function tests.sign_and_deliver() returns void language sql as $$
      select bulwark.store_audit_checkpoint(
          h.tree_size, h.root_hash, tests.log_note(h.tree_size, h.root_hash, 'one'),
          jsonb_build_array(tests.log_signer('one'))
        ), bulwark.record_audit_delivery(h.tree_size, 'sink')
      from bulwark.audit_tree_head() h
    $$`);
  await postgres`select bulwark.seal_audit_log()`;
  await postgres`select tests.sign_and_deliver()`;
}

/** The output of an examination, with its exit code. */
export interface Examination {
  code: number;
  output: string;
  errors: string;
}

/** Runs the command, in a folder without a project unless told otherwise. */
export async function examine(args: string[], folder = "/"): Promise<Examination> {
  const printed: string[] = [];
  const terminal = { print: (line: string) => printed.push(line) } as unknown as Terminal;
  try {
    const code = await doctor.run([...args, "--workdir", folder], terminal);
    return { code, output: printed.join("\n"), errors: "" };
  } catch (thrown) {
    if (!(thrown instanceof CliError)) throw thrown;
    return { code: thrown.exitCode, output: printed.join("\n"), errors: thrown.message };
  }
}

/** The report of a database that is judged like a deployed one. */
export async function reportOn(patient: Patient, folder?: string): Promise<Report> {
  const { output } = await examine(
    ["--db", patient.url("postgres"), "--json", "--strict"],
    folder,
  );
  return JSON.parse(output);
}

/** The errors and warnings of a report, as `CODE object`. */
export function problemsOf(report: Report): string[] {
  return report.findings
    .filter(({ severity }) => severity !== "note")
    .map(({ code, object }) => object === null ? code : `${code} ${object}`)
    .sort();
}
