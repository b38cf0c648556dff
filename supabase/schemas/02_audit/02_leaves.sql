-- Audit leaves: the bytes that are hashed, defined once for sealing, verification, proofs and
-- export.
-- Protects against two places that encode the same entry differently, and keeps proofs valid after
-- erasure: the hash covers a commitment to the payload, which stays when the payload is removed.
-- No function here; the views read the log with the rights of the caller.

-- The payload is built as text, not as jsonb, so that the hashed bytes are exactly the exported
-- ones. concat() writes each value itself: a cast to text copies it twice more, and this is most of
-- what a seal costs.
create view bulwark_private.audit_payloads with (security_invoker = true) as
  select
    e.*,
    case when e.removed_by is null then concat(
      '{"actor_type":"', e.actor_type, '"',
      case when e.actor_id is not null then ',"actor_id":"' end,
      e.actor_id,
      case when e.actor_id is not null then '"' end,
      case when e.database_user is not null then ',"database_user":' end,
      to_json(e.database_user),
      case when e.session_id is not null then ',"session_id":"' end,
      e.session_id,
      case when e.session_id is not null then '"' end,
      case when e.ip is not null then concat(',"ip":', to_json(e.ip)) end,
      case when e.user_agent is not null then concat(',"user_agent":', to_json(e.user_agent)) end,
      case when e.resource_id is not null then ',"resource_id":' end,
      to_json(e.resource_id),
      case when e.action is not null then ',"action":' end,
      to_json(e.action),
      case when e.correlation_id is not null then ',"correlation_id":"' end,
      e.correlation_id,
      case when e.correlation_id is not null then '"' end,
      case when e.parent_id is not null then concat(',"parent_id":"', e.parent_id, '"') end,
      case when e.before is not null then ',"before":' end,
      e.before,
      case when e.after is not null then ',"after":' end,
      e.after,
      case when e.details is not null then ',"details":' end,
      e.details,
      '}'
    ) end as payload
  from bulwark.audit_logs e;
comment on view bulwark_private.audit_payloads is
  'Every entry with the exact text of its payload (null once it was removed).';

create view bulwark_private.audit_commitments with (security_invoker = true) as
  select
    p.*,
    case
      when p.removed_by is null then sha256(uuid_send(p.salt) || convert_to(p.payload, 'UTF8'))
      else p.commitment
    end as payload_commitment
  from bulwark_private.audit_payloads p;
comment on view bulwark_private.audit_commitments is
  'Every entry with the commitment to its payload: SHA-256(salt || payload).';

create view bulwark_private.audit_leaves with (security_invoker = true) as
  select
    c.id,
    c.organization_id,
    c.timeline,
    c.xid,
    c.occurred_at,
    c.removed_by,
    -- Nearly the bytes that are hashed, without reading them: compressed ones count 64 times.
    512
      + coalesce(pg_column_size(c.resource_id), 0)
      + coalesce(
        pg_column_size(c.before)
          * case when pg_column_compression(c.before) is null then 1 else 64 end, 0
      )
      + coalesce(
        pg_column_size(c.after)
          * case when pg_column_compression(c.after) is null then 1 else 64 end, 0
      )
      + coalesce(
        pg_column_size(c.details)
          * case when pg_column_compression(c.details) is null then 1 else 64 end, 0
      ) as size,
    sha256(
      '\x0001'::bytea
      || uuid_send(c.id)
      || coalesce('\x01'::bytea || uuid_send(c.organization_id), '\x00'::bytea)
      || int4send(c.timeline)
      || xid8send(c.xid)
      || timestamptz_send(c.occurred_at)
      -- Four lengths of two bytes each.
      || int8send(
        (octet_length(c.source::text)::bigint << 48)
        + (octet_length(c.severity::text)::bigint << 32)
        + (octet_length(c.result::text)::bigint << 16)
        + octet_length(c.event_type)::smallint
      )
      || int2send(coalesce(octet_length(c.resource_type), 0)::smallint)
      || convert_to(
        concat(c.source, c.severity, c.result, c.event_type, c.resource_type), 'UTF8'
      )
      || c.payload_commitment
    ) as leaf
  from bulwark_private.audit_commitments c;
comment on view bulwark_private.audit_leaves is
  'The leaf hash of every entry: SHA-256(0x00 || version 1 || skeleton || commitment), and its size,
   about and in bytes.';
