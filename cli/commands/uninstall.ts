import { commonHelp, commonOptions, parse } from "../arguments.ts";
import { carryOut } from "../carrying_out.ts";
import { appliedVersions, type Database, withDatabase } from "../database.ts";
import { CliError } from "../errors.ts";
import { type Lock, requireLock } from "../lock.ts";
import type { Command } from "../main.ts";
import { findProject, migrationsFolder } from "../project.ts";
import { type Permission, planRemoval, shippedSql } from "../removal.ts";

/** `bulwark uninstall`. */
export const uninstall: Command = {
  summary: "removes Bulwark from the project, and by a migration from the database",
  help: `Usage: bulwark uninstall [options]

Removes the files, sections and secrets that Bulwark wrote, and writes a migration that drops what is
Bulwark's in the database and nothing else. The migrations that were pushed stay, as history.

  --with-audit-data      also if the audit log has entries: they are destroyed
  --with-encrypted-data  also if columns have encrypted values: nobody can decrypt them afterwards
  --with-dependents      also if policies, views, columns, triggers or keys of yours depend on
                         Bulwark: they are dropped. A table may be open without its policies.
  --never-pushed         no database has Bulwark: remove its migrations, and write none
${commonHelp}`,
  async run(args, terminal) {
    const { values } = parse(args, {
      ...commonOptions,
      "with-audit-data": { type: "boolean", default: false },
      "with-encrypted-data": { type: "boolean", default: false },
      "with-dependents": { type: "boolean", default: false },
      "never-pushed": { type: "boolean", default: false },
    });
    const project = findProject(values.workdir);
    const lock = requireLock(project);
    const permission: Permission = {
      auditData: values["with-audit-data"],
      encryptedData: values["with-encrypted-data"],
      dependents: values["with-dependents"],
    };
    const neverPushed = values["never-pushed"];
    const found = values.db === undefined
      ? { applied: [], dependents: [], entries: 0, encrypted: [] }
      : await withDatabase(values.db, (sql) => examine(sql, lock));
    if (neverPushed && found.applied.some((version) => isOurs(lock, version))) {
      throw new CliError("CLI_WAS_PUSHED", "The database has Bulwark: leave out --never-pushed");
    }
    const now = new Date();
    const { applied } = found;
    const plan = planRemoval({ project, lock, permission, neverPushed, applied, now });
    if (found.entries > 0 && !permission.auditData) {
      const problem = `its audit log has ${found.entries} entries: add --with-audit-data`;
      plan.clashes.push({ where: "the database", problem });
    }
    for (const where of permission.encryptedData ? [] : found.encrypted) {
      const problem = "holds encrypted values: decrypt them, or add --with-encrypted-data";
      plan.clashes.push({ where, problem });
    }
    if (found.dependents.length > 0 && permission.dependents) {
      plan.notes.push("These of yours depend on Bulwark, and are dropped:");
      plan.notes.push(...found.dependents.map((object) => `  ${object}`));
    } else {
      plan.clashes.push(...found.dependents.map((object) => ({
        where: object,
        problem: "depends on Bulwark: change it, or add --with-dependents",
      })));
    }
    return await carryOut(project, plan, { dryRun: values["dry-run"], yes: values.yes }, terminal);
  },
};

/** Objects of the host that depend on Bulwark in a database, and data that would be lost. */
async function examine(sql: Database, lock: Lock) {
  const applied = await appliedVersions(sql);
  const [there] = await sql`select to_regclass('bulwark.audit_logs') is not null as there`;
  if (!there?.there || !applied.some((version) => isOurs(lock, version))) {
    return { applied, dependents: [], entries: 0, encrypted: [] };
  }
  const objects = await sql.unsafe<{ object: string; made: boolean }[]>(
    shippedSql("dependents.sql"),
  );
  const [holdings] = await sql.unsafe<{ entries: string }[]>(shippedSql("holdings.sql"));
  const dependents = objects.filter(({ made }) => !made).map(({ object }) => object);
  dependents.push(...await dependentJobs(sql));
  const encrypted = await encryptedColumns(sql);
  return { applied, dependents, entries: Number(holdings?.entries ?? 0), encrypted };
}

/** The jobs of the host that name Bulwark: they would fail afterwards. */
async function dependentJobs(sql: Database): Promise<string[]> {
  const [there] = await sql`select to_regclass('cron.job') as there`;
  if (!there?.there) return [];
  const jobs = await sql<{ name: string }[]>`
    select coalesce(j.jobname, j.jobid::text) as name from cron.job j
    where j.command ~ '\\mbulwark(_private)?\\.' and coalesce(j.jobname, '') not like 'bulwark-%'
  `;
  return jobs.map(({ name }) => `cron job ${name}`);
}

/** The columns of the host that hold ciphertext. */
async function encryptedColumns(sql: Database): Promise<string[]> {
  const [there] = await sql`select to_regclass('bulwark_private.encrypted_columns') as there`;
  if (!there?.there) return [];
  const declared = await sql<{ relation: string; name: string }[]>`
    select e.relation::regclass::text as relation, quote_ident(e.column_name) as name
    from bulwark_private.encrypted_columns e
    join pg_class c on c.oid = e.relation
    where c.relnamespace::regnamespace::text not in ('bulwark', 'bulwark_private')
  `;
  const found: string[] = [];
  for (const { relation, name } of declared) {
    const [row] = await sql.unsafe(
      `select exists (select from ${relation} where ${name} is not null) as used`,
    );
    if (row?.used) found.push(`${relation}.${name}`);
  }
  return found;
}

function isOurs(lock: Lock, version: string): boolean {
  return Object.keys(lock.files).some((path) => path.startsWith(`${migrationsFolder}/${version}_`));
}
