import type { Check } from "../context.ts";
import type { Found } from "../finding.ts";

/** Seals are on time, nothing that protects the log was touched, and nothing got lost. */
export const seals: Check = async ({ sql, has }) => {
  if (!has("bulwark_private.audit_unsealed")) return [];
  const [row] = await sql`
    select (select u.entries from bulwark_private.audit_unsealed(true, null) u) as overdue,
      bulwark_private.audit_log_is_settled() as settled,
      (select count(*) from bulwark_private.audit_gaps)::integer as gaps
  `;
  const touched = await sql<{ relation: string }[]>`
    select g.relation::text
    from bulwark_private.audit_watched_tables g
    where g.fingerprint is distinct from bulwark_private.audit_fingerprint(g.relation)
    order by 1
  `;
  const found: Found[] = touched.map(({ relation }) => ({
    code: "PROTECTION_TOUCHED",
    object: relation,
    message: `The protections of ${relation} are not as they were accepted`,
  }));
  if (!row?.["settled"]) {
    found.push({
      code: "TIMELINE_UNSETTLED",
      object: "bulwark.audit_logs",
      message: "The audit log has not been sealed since this database was restored or upgraded",
    });
  }
  if (Number(row?.["overdue"]) > 0) {
    found.push({
      code: "SEAL_LATE",
      object: "bulwark.audit_logs",
      message: `${row?.["overdue"]} entries of the audit log wait for their seal`,
    });
  }
  if (Number(row?.["gaps"]) > 0) {
    found.push({
      code: "AUDIT_GAP",
      object: "bulwark_private.audit_gaps",
      message: `${row?.["gaps"]} events of Supabase Auth could not be recorded`,
    });
  }
  return found;
};

/** Entries of this month and of the next have a partition, which the job makes three months ahead. */
export const partitions: Check = async ({ sql, has }) => {
  if (!has("bulwark_private.audit_partitions")) return [];
  const rows = await sql<{ month: string }[]>`
    select to_char(m.moment at time zone 'UTC', 'YYYY-MM') as month
    from (values
      (now()),
      ((date_trunc('month', now() at time zone 'UTC') + interval '1 month') at time zone 'UTC')
    ) m (moment)
    cross join lateral (select bulwark_private.audit_id_floor(m.moment) as id) f
    where not exists (
      select from bulwark_private.audit_partitions p
      where not p.is_default and p.low <= f.id and p.high > f.id
    )
    order by m.moment
  `;
  return rows.map(({ month }) => ({
    code: "AUDIT_PARTITION_MISSING",
    object: "bulwark.audit_logs",
    message: `The audit log has no partition for ${month}`,
  }));
};

/** The newest seals are signed, and the signatures are stored elsewhere. */
export const checkpoints: Check = async ({ sql, has }) => {
  if (!has("bulwark.audit_checkpoints")) return [];
  const [row] = await sql`
    select c.newest is not null or exists (select from bulwark.audit_keys) as set_up,
      exists (
        select from bulwark_private.audit_seals s
        where s.number = coalesce(c.newest, 0) + 1 and s.sealed_at < now() - 3 * i.pause
      ) as late,
      (
        select count(*) from bulwark.audit_checkpoints u
        where u.delivered_at is null and u.signed_at < now() - 3 * i.pause
      )::integer as undelivered
    from (select max(tree_size) as newest from bulwark.audit_checkpoints) c
    cross join (
      select make_interval(
        secs => bulwark_private.setting('audit.checkpoint_interval_seconds')::integer
      ) as pause
    ) i
  `;
  const object = "bulwark.audit_checkpoints";
  if (!row?.["set_up"]) {
    return [{
      code: "CHECKPOINT_NEVER",
      object,
      message: "The audit log has no signed checkpoint",
    }];
  }
  const found: Found[] = [];
  if (row["late"]) {
    found.push({
      code: "CHECKPOINT_LATE",
      object,
      message: "Seals of the audit log wait for a signed checkpoint",
    });
  }
  if (row["undelivered"] > 0) {
    found.push({
      code: "CHECKPOINT_UNDELIVERED",
      object,
      message: `${row["undelivered"]} checkpoints were not delivered outside of the database`,
    });
  }
  return found;
};

/** Serious security events of the installation reach somebody. */
export const alertReceivers: Check = async ({ sql, has }) => {
  if (!has("bulwark.webhook_endpoints") || !has("bulwark.security_event_types")) return [];
  const [row] = await sql`
    select count(*)::integer as silent
    from bulwark.security_event_types t
    where t.severity in ('high', 'critical') and not exists (
      select from bulwark.webhook_subscriptions s
      join bulwark.webhook_endpoints e on e.id = s.endpoint_id
      where e.organization_id is null and e.disabled_at is null and case when s.open_ended
        then starts_with('security.' || t.name, s.stem) else s.pattern = 'security.' || t.name end
    )
  `;
  if (!(row?.["silent"] > 0)) return [];
  return [{
    code: "ALERT_WITHOUT_RECEIVER",
    object: "bulwark.webhook_endpoints",
    message: `${row?.["silent"]} types of serious security events are sent to no webhook endpoint`,
  }];
};
