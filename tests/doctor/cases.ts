/** A fault of a healthy project, the findings it causes, and how it is undone. */
export interface Case {
  name: string;
  /** The superuser breaks what only the platform can; `postgres` all else. */
  as?: "admin";
  change: string;
  undo: string;
  /** `CODE object` of each error and warning. */
  finds: string[];
  /** `CODE object` of notes. */
  notes?: string[];
  /** Only where pg_cron runs (15), or only where it does not (17). */
  only?: 15 | 17;
}

const refresh = "select bulwark.refresh_audit_fingerprints();";
const table = `
  create table public.reports (id integer primary key, organization_id uuid, body text);
  alter table public.reports enable row level security;
  grant select on public.reports to authenticated;
`;
const dropTable = "drop table public.reports;";
const policy = (condition: string) => `
  ${table}
  create policy "Members read" on public.reports for select to authenticated using (${condition});
`;
const perRow = (name: string, condition: string, before = "", after = ""): Case => ({
  name,
  change: before + policy(condition),
  undo: dropTable + after,
  finds: ["POLICY_ASKS_PER_ROW public.reports: Members read"],
});
const once = (name: string, condition: string): Case => ({
  name,
  change: policy(condition),
  undo: dropTable,
  finds: [],
  notes: ["TABLE_NOT_AUDITED public.reports"],
});
const job = (name: string, change: string, undo: string, finds: string[]): Case => ({
  name,
  only: 15,
  as: "admin",
  change,
  undo,
  finds,
});
const logged = (role: string, name: string, value: string): Case => ({
  name: `${name} of ${role}`,
  as: "admin",
  change: `alter role ${role} set ${name} = ${value}`,
  undo: name === "log_parameter_max_length"
    ? `alter role ${role} set ${name} = 0`
    : `alter role ${role} reset ${name}`,
  finds: [`LOG_SHOWS_KEYS ${role}: ${name}`],
});
/** A run of one job as pg_cron notes it, and one of each other job, just now. */
const run = (status: string, start: string) => `
  insert into cron.job_run_details (jobid, runid, command, status, start_time, end_time)
  select j.jobid, 9000000000000000000 + j.jobid, j.command,
    case j.jobname when 'bulwark-audit-check' then '${status}' else 'succeeded' end,
    case j.jobname when 'bulwark-audit-check' then ${start} else now() end, now()
  from cron.job j
`;
const forgetRuns = "delete from cron.job_run_details where runid >= 9000000000000000000";

export const cases: Case[] = [
  // encryption
  {
    name: "a function lacks a key-encryption key",
    change: `
      select bulwark.register_key_encryption_key('2026-11', 'raw', 'check');
      select bulwark.report_key_fault('2026-11', 'missing');
    `,
    undo: "select bulwark.report_key_fault('2026-11');",
    finds: ["KEY_UNAVAILABLE 2026-11"],
  },
  {
    name: "a key-encryption key is lost",
    change: "select bulwark.declare_key_lost('2026-11');",
    undo: "select bulwark.declare_key_found('2026-11');",
    finds: [],
    notes: ["KEY_LOST 2026-11"],
  },
  // extensions and secrets
  {
    name: "pg_net is gone",
    as: "admin",
    change: "alter function net.http_post(text, jsonb, jsonb, jsonb, integer) rename to gone",
    undo: "alter function net.gone(text, jsonb, jsonb, jsonb, integer) rename to http_post",
    finds: ["EXTENSION_MISSING pg_net"],
  },
  {
    name: "Vault is gone",
    as: "admin",
    change: "alter schema vault rename to gone",
    undo: "alter schema gone rename to vault",
    finds: ["EXTENSION_MISSING supabase_vault"],
  },
  {
    name: "a secret is not in Vault",
    change: "delete from vault.secrets where name = 'bulwark_scheduler_secret'",
    undo: "select vault.create_secret('hush-hush', 'bulwark_scheduler_secret')",
    finds: ["VAULT_SECRET_MISSING bulwark_scheduler_secret"],
  },

  // jobs, where pg_cron runs
  job(
    "a job was unscheduled",
    "update cron.job set jobname = 'mine' where jobname = 'bulwark-mfa-cleanup'",
    "update cron.job set jobname = 'bulwark-mfa-cleanup' where jobname = 'mine'",
    ["JOB_NOT_SCHEDULED bulwark-mfa-cleanup"],
  ),
  job(
    "a job is inactive",
    "update cron.job set active = false where jobname = 'bulwark-audit-check'",
    "update cron.job set active = true where jobname = 'bulwark-audit-check'",
    ["JOB_DISABLED bulwark-audit-check"],
  ),
  job(
    "a job has another command",
    "update cron.job set command = command || ' ' where jobname = 'bulwark-audit-check'",
    "update cron.job set command = rtrim(command) where jobname = 'bulwark-audit-check'",
    ["JOB_CHANGED bulwark-audit-check"],
  ),
  job(
    "a job of nothing",
    `insert into cron.job (schedule, command, database, username, jobname)
     values ('0 5 * * *', 'select 1', current_database(), 'postgres', 'bulwark-relic')`,
    "delete from cron.job where jobname = 'bulwark-relic'",
    ["JOB_UNKNOWN bulwark-relic"],
  ),
  job("the last run failed", run("failed", "now()"), forgetRuns, [
    "JOB_FAILING bulwark-audit-check",
  ]),
  job(
    "a job is not started any more",
    run("succeeded", "now() - interval '20 minutes'"),
    forgetRuns,
    ["JOB_NOT_RUNNING bulwark-audit-check"],
  ),

  // hooks and schemas
  {
    name: "no pre-request hook",
    change: "alter role authenticator reset pgrst.db_pre_request",
    undo: "select bulwark.install_request_hook()",
    finds: ["REQUEST_HOOK_NOT_INSTALLED"],
  },
  {
    name: "another pre-request hook",
    change: `create function public.theirs() returns void language sql as 'select';
      alter role authenticator set pgrst.db_pre_request = 'public.theirs'`,
    undo: `alter role authenticator set pgrst.db_pre_request = 'bulwark.check_request';
      drop function public.theirs()`,
    finds: ["REQUEST_HOOK_NOT_INSTALLED public.theirs"],
  },
  {
    name: "their pre-request hook calls ours",
    change: `create function public.theirs() returns void language plpgsql as
      'begin perform bulwark.check_request(); end';
      alter role authenticator set pgrst.db_pre_request = 'public.theirs'`,
    undo: `alter role authenticator set pgrst.db_pre_request = 'bulwark.check_request';
      drop function public.theirs()`,
    finds: [],
  },
  {
    name: "the next pre-request hook is gone",
    change: `update bulwark.settings set value = '"public.gone"'
      where name = 'rate_limits.next_request_check'`,
    undo:
      "update bulwark.settings set value = 'null' where name = 'rate_limits.next_request_check'",
    finds: ["HOOK_FUNCTION_MISSING public.gone"],
  },
  {
    name: "the next token hook is not for Auth",
    change: `create function public.claims(jsonb) returns jsonb language sql as 'select $1';
      revoke all on function public.claims(jsonb) from public;
      update bulwark.settings set value = '"public.claims"'
      where name = 'rbac.next_access_token_hook'`,
    undo: `update bulwark.settings set value = 'null' where name = 'rbac.next_access_token_hook';
      drop function public.claims(jsonb)`,
    finds: ["HOOK_NOT_EXECUTABLE public.claims"],
  },
  {
    name: "Auth may not execute our token hook",
    change: `revoke execute on function bulwark.custom_access_token_hook(jsonb)
      from supabase_auth_admin`,
    undo:
      "grant execute on function bulwark.custom_access_token_hook(jsonb) to supabase_auth_admin",
    finds: ["HOOK_NOT_EXECUTABLE bulwark.custom_access_token_hook"],
  },
  {
    name: "the schema is not exposed",
    as: "admin",
    change: "alter role authenticator set pgrst.db_schemas = 'public'",
    undo: "alter role authenticator set pgrst.db_schemas = 'public, bulwark'",
    finds: ["SCHEMA_NOT_EXPOSED pgrst.db_schemas"],
  },
  {
    name: "the private schema is exposed",
    as: "admin",
    change: "alter role authenticator set pgrst.db_schemas = 'public, bulwark, bulwark_private'",
    undo: "alter role authenticator set pgrst.db_schemas = 'public, bulwark'",
    finds: ["PRIVATE_SCHEMA_EXPOSED pgrst.db_schemas"],
  },
  {
    name: "nothing is known of the schemas",
    as: "admin",
    change: "alter role authenticator reset pgrst.db_schemas",
    undo: "alter role authenticator set pgrst.db_schemas = 'public, bulwark'",
    finds: [],
    notes: ["EXPOSED_SCHEMAS_UNKNOWN pgrst.db_schemas"],
  },

  // addresses and logs
  {
    name: "no address header",
    change: "update bulwark.settings set value = 'null' where name = 'rate_limits.address_header'",
    undo: `update bulwark.settings set value = '"x-forwarded-for"'
      where name = 'rate_limits.address_header'`,
    finds: ["ADDRESS_HEADER_UNSET rate_limits.address_header"],
  },
  logged("authenticator", "log_parameter_max_length", "-1"),
  logged("authenticator", "log_parameter_max_length_on_error", "100"),
  logged("authenticator", "debug_print_plan", "on"),
  logged("postgres", "log_statement", "'all'"),
  logged("postgres", "log_min_duration_statement", "0"),

  // policies
  perRow(
    "a policy asks per row",
    "bulwark.has_permission('analytics:read', organization_id)",
  ),
  perRow(
    "a sub-select with the row's column is evaluated per row",
    "(select bulwark.has_permission('analytics:read', organization_id))",
  ),
  perRow(
    "so is one inside of another",
    `exists (select from (select 1) a where exists (
       select from (select 1) b where bulwark.has_permission('analytics:read', organization_id)))`,
  ),
  perRow("a call without columns is one too", "bulwark.current_person() is not null"),
  perRow(
    "their function asks ours",
    "public.may_read(organization_id)",
    `create function public.may_read(uuid) returns boolean language sql stable as
      $$ select bulwark.has_permission('analytics:read', $1) $$;`,
    "drop function public.may_read(uuid);",
  ),
  perRow(
    "also in a function with a body in SQL",
    "public.may_read(organization_id)",
    `create function public.may_read(organization uuid) returns boolean language sql stable
      return bulwark.has_permission('analytics:read', organization);`,
    "drop function public.may_read(uuid);",
  ),
  once(
    "an array of organizations is asked once",
    "organization_id = any (array(select bulwark.organizations_with('analytics:read')))",
  ),
  once(
    "so is a sub-select",
    `organization_id in (select bulwark.organizations_with('analytics:read'))
      or (select bulwark.is_super_admin())`,
  ),
  once("a policy without a call of ours is not judged", "auth.uid() is not null or body = '{'"),

  // tables
  {
    name: "a table without row-level security",
    change: `${table} alter table public.reports disable row level security`,
    undo: dropTable,
    finds: ["TABLE_WITHOUT_RLS public.reports"],
  },
  {
    name: "a table that refers to organizations",
    change:
      `create table public.teams (id integer, owner uuid references bulwark.organizations (id));
      grant select on public.teams to anon`,
    undo: "drop table public.teams",
    finds: ["TABLE_WITHOUT_RLS public.teams"],
    notes: ["TABLE_NOT_AUDITED public.teams"],
  },
  {
    name: "a table that no client reaches",
    change: `create table public.reports (organization_id uuid);
      revoke all on public.reports from public, anon, authenticated, service_role`,
    undo: dropTable,
    finds: [],
  },
  {
    name: "an audited table",
    change: `${table} select bulwark.enable_audit('public.reports', organization_column =>
      'organization_id')`,
    undo: `select bulwark.disable_audit('public.reports'); ${dropTable}`,
    finds: [],
  },
  {
    name: "a way around the second factor",
    change: `${table} select bulwark.require_mfa('public.reports');
      drop policy bulwark_mfa_select on public.reports`,
    undo: `${dropTable} delete from bulwark_private.mfa_required_tables
      where relation::oid not in (select oid from pg_class)`,
    finds: ["MFA_TABLE_UNCOVERED public.reports", "MFA_TABLE_UNCOVERED public.reports"],
  },
  {
    name: "a table that is open to API keys",
    change: `${table} grant select on public.reports to api_key;
      create policy "Keys" on public.reports for select to api_key using (true)`,
    undo: dropTable,
    finds: ["API_KEY_TABLE_PROBLEM public.reports"],
  },

  // our own objects
  {
    name: "row-level security of ours is off",
    change: "alter table bulwark.webhook_attempts disable row level security",
    undo: "alter table bulwark.webhook_attempts enable row level security",
    finds: ["RLS_OFF bulwark.webhook_attempts"],
  },
  {
    name: "a trigger of ours is disabled",
    change: "alter table bulwark.webhook_endpoints disable trigger webhook_endpoints_keep_columns",
    undo: `alter table bulwark.webhook_endpoints enable trigger webhook_endpoints_keep_columns;
      ${refresh}`,
    finds: [
      "PROTECTION_TOUCHED bulwark.webhook_endpoints",
      "TRIGGER_DISABLED bulwark.webhook_endpoints: webhook_endpoints_keep_columns",
    ],
  },
  {
    name: "an audit trigger can be skipped",
    change: "alter table bulwark.roles enable trigger bulwark_audit_update",
    undo: `alter table bulwark.roles enable always trigger bulwark_audit_update; ${refresh}`,
    finds: [
      "PROTECTION_TOUCHED bulwark.roles",
      "TRIGGER_DISABLED bulwark.roles: bulwark_audit_update",
    ],
  },
  {
    name: "a privilege is open",
    change: "grant insert on bulwark.user_roles to authenticated",
    undo: "revoke insert on bulwark.user_roles from authenticated",
    finds: ["PRIVILEGE_OPEN table bulwark.user_roles"],
  },
  {
    name: "a trigger of Auth is gone",
    as: "admin",
    change: "drop trigger bulwark_invited_account on auth.users",
    undo: `select bulwark_private.watch_invited_accounts(); ${refresh}`,
    finds: [
      "AUTH_TRIGGER_MISSING auth.users: bulwark_invited_account",
      "PROTECTION_TOUCHED auth.users",
    ],
  },
  {
    name: "the role of API keys was widened",
    as: "admin",
    change: "grant authenticated to api_key",
    undo: "revoke authenticated from api_key",
    finds: ["API_KEY_ROLE_CHANGED api_key", "API_KEY_TABLE_PROBLEM"],
  },

  // the log
  {
    name: "entries wait for their seal",
    change: `begin; alter table bulwark.audit_logs disable trigger audit_logs_stamp;
      insert into bulwark.audit_logs (id, xid, occurred_at, timeline, salt, source, severity,
        event_type, actor_type, database_user, action)
      select gen_random_uuid(), pg_current_xact_id(), now() - interval '1 hour', max(timeline),
        gen_random_uuid(), 'service', 'info', 'data.read', 'service', 'postgres', 'late'
      from bulwark_private.audit_timelines;
      alter table bulwark.audit_logs enable always trigger audit_logs_stamp; ${refresh} commit;
      select pg_advisory_lock(hashtextextended('bulwark.audit_seals', 0))`,
    undo: `select pg_advisory_unlock(hashtextextended('bulwark.audit_seals', 0));
      select bulwark.seal_audit_log()`,
    finds: ["SEAL_LATE bulwark.audit_logs"],
  },
  {
    name: "a seal waits for its signature",
    change: `begin;
      select bulwark.log_audit_event('data.read'); commit; select bulwark.seal_audit_log(); begin;
      alter table bulwark_private.audit_seals disable trigger audit_seals_refuse_change;
      update bulwark_private.audit_seals set sealed_at = now() - interval '1 hour'
      where number > (select max(tree_size) from bulwark.audit_checkpoints);
      alter table bulwark_private.audit_seals enable always trigger audit_seals_refuse_change;
      ${refresh} commit`,
    undo: "select tests.sign_and_deliver()",
    finds: ["CHECKPOINT_LATE bulwark.audit_checkpoints"],
  },
  {
    name: "a checkpoint was not delivered",
    change: `insert into bulwark.audit_checkpoints (tree_size, root_hash, key_id, note, signed_at)
      select 1000000, c.root_hash, c.key_id, c.note, now() - interval '1 hour'
      from bulwark.audit_checkpoints c order by c.tree_size limit 1`,
    undo:
      `begin; alter table bulwark.audit_checkpoints disable trigger audit_checkpoints_refuse_removal;
      delete from bulwark.audit_checkpoints where tree_size = 1000000;
      alter table bulwark.audit_checkpoints enable always trigger audit_checkpoints_refuse_removal;
      ${refresh} commit`,
    finds: ["CHECKPOINT_UNDELIVERED bulwark.audit_checkpoints"],
  },
  {
    name: "the log was restored, and not sealed since",
    change: `begin; create or replace trigger audit_logs_stamp before insert on bulwark.audit_logs
        for each row execute function bulwark_private.audit_logs_stamp('none', '0');
      alter table bulwark.audit_logs enable always trigger audit_logs_stamp; ${refresh} commit;
      select pg_advisory_lock(hashtextextended('bulwark.audit_seals', 0))`,
    undo: `select pg_advisory_unlock(hashtextextended('bulwark.audit_seals', 0));
      select bulwark.seal_audit_log(); ${refresh} select tests.sign_and_deliver()`,
    finds: ["TIMELINE_UNSETTLED bulwark.audit_logs"],
  },
  {
    name: "an event of Auth could not be recorded",
    change: "insert into bulwark_private.audit_gaps (source, reason) values ('x', '42501')",
    undo: `alter table bulwark_private.audit_gaps disable trigger audit_gaps_refuse_change;
      delete from bulwark_private.audit_gaps;
      alter table bulwark_private.audit_gaps enable always trigger audit_gaps_refuse_change;
      ${refresh}`,
    finds: ["AUDIT_GAP bulwark_private.audit_gaps"],
  },
  {
    name: "the coming month has no partition",
    change: `do $$
      declare
        v_month constant timestamp :=
          date_trunc('month', now() at time zone 'UTC') + interval '1 month';
        v_partition regclass;
      begin
        select p.relation into v_partition from bulwark_private.audit_partitions p
        where p.low = bulwark_private.audit_id_floor(v_month at time zone 'UTC');
        execute format('alter table bulwark.audit_logs detach partition %s', v_partition);
        execute format('drop table %s', v_partition);
        delete from bulwark_private.audit_watched_tables g where g.relation = v_partition;
      end;
      $$;
      ${refresh}`,
    undo: `select bulwark_private.keep_audit_partitions(); ${refresh}`,
    finds: ["AUDIT_PARTITION_MISSING bulwark.audit_logs"],
  },
  {
    name: "nobody receives alerts",
    change: "update bulwark.webhook_endpoints set disabled_at = now(), disabled_reason = 'manual'",
    undo: "update bulwark.webhook_endpoints set disabled_at = null, disabled_reason = null",
    finds: ["ALERT_WITHOUT_RECEIVER bulwark.webhook_endpoints"],
  },
];
