/** The tables of the audit log's benchmarks: ours, and what they are compared with. */
import type { BenchContext } from "../harness.ts";

/** The columns and indexes of the log, filled by a trigger that only appends. */
const floor = `
  create table bench.log (like bulwark.audit_logs including indexes);
  alter table bench.log alter id set default gen_random_uuid(),
    alter xid set default pg_current_xact_id(), alter occurred_at set default clock_timestamp(),
    alter timeline set default 1, alter salt set default gen_random_uuid(),
    alter result set default 'success', alter actor_type set default 'database',
    alter correlation_id set default gen_random_uuid(),
    alter database_user set default session_user;
  create function bench.append() returns trigger language plpgsql security definer
    set search_path = pg_catalog, pg_temp as $$
  begin
    insert into bench.log (source, severity, organization_id, event_type, resource_type,
      resource_id, action, before, after)
    values ('table', 'info', new.organization_id, 'data.create', 'bench.floor', new.id::text,
      'insert', to_jsonb(old), to_jsonb(new));
    return null;
  end;
  $$;
  create trigger append after insert or update on bench.floor
    for each row execute function bench.append();
`;

/**
 * Makes `bench.ours` and `bench.ours_bulk`, which are audited, and a table for each thing to compare with;
 * returns the names of those by table. With the option `supa-audit` supa_audit's SQL file is one.
 */
export async function auditedTables(
  { postgres, admin, options }: BenchContext,
): Promise<Record<string, string>> {
  const supaAudit = options["supa-audit"];
  const names: Record<string, string> = {
    plain: "no audit",
    floor: "append only, no seals",
    ...(supaAudit ? { supa: "supa_audit" } : {}),
  };
  await postgres.unsafe("create schema bench");
  for (const table of ["ours", "ours_bulk", ...Object.keys(names)]) {
    await postgres.unsafe(`
      create table bench.${table} (
        id bigint generated always as identity primary key, organization_id uuid, customer text,
        amount numeric, status text, created_at timestamptz not null default now()
      );
      insert into bench.${table} (status) select 'open' from generate_series(1, 10000);
    `);
  }
  await postgres.unsafe(floor);
  await postgres.unsafe(`
    select bulwark.enable_audit('bench.ours', organization_column => 'organization_id');
    select bulwark.enable_audit('bench.ours_bulk', organization_column => 'organization_id',
      bulk => true);
  `);
  if (typeof supaAudit === "string") {
    // The file is an extension script; outside of an extension this call fails.
    const script = (await Deno.readTextFile(supaAudit))
      .replaceAll(/^select pg_catalog\.pg_extension_config_dump.*$/gm, "");
    await admin.unsafe(`set search_path = public, extensions; ${script}; reset search_path`);
    await admin.unsafe("select audit.enable_tracking('bench.supa'::regclass)");
  }
  return names;
}
