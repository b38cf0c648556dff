/** Past months of an audit log, written as they would have been then: for tests and benchmarks. */
import type { Sql } from "../stack/connection.ts";

/**
 * Gives the log a partition for each of some past months (`2025-03`). Its first one reaches back to
 * the beginning, and begins after them from then on.
 */
export async function makePastMonths(owner: Sql, months: string[]): Promise<void> {
  const dates = months.toSorted().map((month) => `${month}-01`);
  await owner.begin(async (sql) => {
    const [first] = await sql`
      select p.relation::text, p.high from bulwark_private.audit_partitions p
      where not p.is_default order by p.high limit 1
    `;
    const [after] = await sql`
      select bulwark_private.audit_id_floor((${dates.at(-1)!}::date + interval '1 month')
        at time zone 'UTC')::text as id
    `;
    await sql.unsafe(`alter table bulwark.audit_logs detach partition ${first!.relation}`);
    await sql.unsafe(`
      alter table bulwark.audit_logs attach partition ${first!.relation}
        for values from ('${after!.id}') to ('${first!.high}')
    `);
    await sql`
      select bulwark_private.make_audit_partition(
        'audit_logs_' || to_char(m, 'YYYY_MM'),
        bulwark_private.audit_id_floor(m::timestamp at time zone 'UTC'),
        bulwark_private.audit_id_floor((m + interval '1 month') at time zone 'UTC')
      )
      from unnest(${dates}::date[]) as m
    `;
    // Entries of the past, sealed today.
    await sql`
      update bulwark.settings set value = '1000000000'
      where name = 'audit.clock_tolerance_seconds'
    `;
    await sql`select bulwark.refresh_audit_fingerprints()`;
  });
}

/** Writes entries of a past month around the triggers, an equal time apart. */
export async function fillPastMonth(
  superuser: Sql,
  { month, organization, actor, count }: {
    month: string;
    organization: string | null;
    actor: string;
    count: number;
  },
): Promise<void> {
  await superuser.begin(async (sql) => {
    await sql`set local session_replication_role = replica`;
    await sql`alter table bulwark.audit_logs disable trigger audit_logs_stamp`;
    await sql`
      insert into bulwark.audit_logs (
        id, xid, occurred_at, timeline, salt, source, severity, event_type, organization_id,
        actor_type, actor_id, database_user, resource_type, resource_id, action, after
      )
      select
        (substring(bulwark_private.audit_id_floor(t.at)::text for 14) || '7'
          || substring(gen_random_uuid()::text from 16))::uuid,
        pg_current_xact_id(), t.at, (select max(timeline) from bulwark_private.audit_timelines),
        gen_random_uuid(), 'table', 'info', 'data.create', ${organization}::uuid, 'user',
        ${actor}::uuid, 'authenticator', 'public.archived', n::text, 'insert',
        jsonb_build_object('n', n, 'big', 12345678901234567890.10)
      from generate_series(1, ${count}::integer) as n
      cross join lateral (
        select (${month + "-01"}::date + n * interval '27 days' / ${count}::integer)
          at time zone 'UTC' as at
      ) t
    `;
    await sql`alter table bulwark.audit_logs enable always trigger audit_logs_stamp`;
  });
}
