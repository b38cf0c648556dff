-- Audit leaves: the bytes that are hashed, defined once for sealing, verification, proofs and
-- export.
-- Protects against two places that encode the same entry differently, and keeps proofs valid after
-- erasure: the hash covers a commitment to the payload, which stays when the payload is removed.
-- No function here; the views read the log with the rights of the caller.

-- The payload is built as text, not as jsonb, so that the hashed bytes are exactly the exported
-- ones.
create view bulwark_private.audit_payloads with (security_invoker = true) as
  select
    e.*,
    case when e.removed_by is null then concat(
      '{"actor_type":"', e.actor_type, '"',
      ',"actor_id":"' || e.actor_id::text || '"',
      ',"database_user":' || to_json(e.database_user)::text,
      ',"session_id":"' || e.session_id::text || '"',
      ',"ip":' || to_json(e.ip)::text,
      ',"user_agent":' || to_json(e.user_agent)::text,
      ',"resource_id":' || to_json(e.resource_id)::text,
      ',"action":' || to_json(e.action)::text,
      ',"correlation_id":"' || e.correlation_id::text || '"',
      ',"parent_id":"' || e.parent_id::text || '"',
      ',"before":' || e.before::text,
      ',"after":' || e.after::text,
      ',"details":' || e.details::text,
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
      || int2send(octet_length(c.source::text)::smallint)
      || int2send(octet_length(c.severity::text)::smallint)
      || int2send(octet_length(c.result::text)::smallint)
      || int2send(octet_length(c.event_type)::smallint)
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
