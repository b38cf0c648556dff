-- Webhooks bodies: the content of deliveries and the data for sending them, as workers read them.
-- Protects against a receiver that sees too much: without include_details it gets ids only; erased
-- and expired parts of audit entries are left out; and an endpoint never gets events of another
-- organization, even if it reuses a deleted endpoint's id.
-- Views only, read by claim_webhook_deliveries.

create view bulwark_private.webhook_bodies with (security_invoker = true) as
  select
    d.id as delivery_id,
    -- json is faster than jsonb here: nested jsonb is rebuilt at each level.
    json_build_object(
      'type', d.event_type,
      'timestamp', to_char(d.occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
      'severity', d.severity,
      'data', case
        when d.source <> 'audit' and (e.include_details or d.source = 'test') then p.data
        when d.source <> 'audit' then p.data - '{details,resolution_note}'::text[]
        when a.id is null then jsonb_build_object('id', d.event_id, 'removed', true)
        else jsonb_strip_nulls(jsonb_build_object(
          'id', a.id,
          'organization_id', a.organization_id,
          'event_type', a.event_type,
          'source', a.source,
          'result', a.result,
          'resource_type', a.resource_type,
          'resource_id', a.resource_id,
          'action', a.action,
          'actor_type', a.actor_type,
          'actor_id', a.actor_id,
          'correlation_id', a.correlation_id,
          'removed', nullif(a.removed_by is not null, false),
          'ip', case when e.include_details then a.ip end,
          'user_agent', case when e.include_details then a.user_agent end
        ))
        -- In these, null values are information and stay.
        || case
          when e.include_details and a.before is not null
          then jsonb_build_object('before', a.before) else '{}'
        end
        || case
          when e.include_details and a.after is not null
          then jsonb_build_object('after', a.after) else '{}'
        end
        || case
          when e.include_details and a.details is not null
          then jsonb_build_object('details', a.details) else '{}'
        end
      end
    ) as body
  from bulwark.webhook_deliveries d
  join bulwark.webhook_endpoints e
    on e.id = d.endpoint_id and e.organization_id is not distinct from d.organization_id
  left join bulwark.audit_logs a on a.id = d.event_id and d.source = 'audit'
  left join bulwark_private.webhook_payloads p on p.delivery_id = d.id;
comment on view bulwark_private.webhook_bodies is
  'The content of deliveries: type, time, severity and data. Audit entries are read at delivery, so
   erased and expired parts are missing.';

create view bulwark_private.webhook_material with (security_invoker = true) as
  select
    e.id as endpoint_id,
    json_build_object(
      'id', e.id,
      'organization_id', e.organization_id,
      'account_id', s.account_id,
      'proven', h.proven,
      'timeouts', h.consecutive_timeouts,
      'name', e.name,
      'origin', e.origin,
      'format', e.format,
      'follow_redirects', e.follow_redirects,
      'destination', t.ciphertext,
      'secrets', (
        select json_agg(
          json_build_object('id', k.id, 'ciphertext', k.ciphertext) order by k.created_at desc
        )
        from bulwark_private.webhook_secrets k
        where k.endpoint_id = e.id
          and (k.expires_at is null or k.expires_at > clock_timestamp())
      )
    ) as material
  from bulwark.webhook_endpoints e
  join bulwark_private.webhook_destinations t on t.endpoint_id = e.id
  join bulwark_private.webhook_turns s on s.endpoint_id = e.id
  join bulwark.webhook_endpoint_health h on h.endpoint_id = e.id;
comment on view bulwark_private.webhook_material is
  'The data for delivering to an endpoint: encrypted address, the encrypted secrets that sign now
   (newest first), the account it counts for, and its health.';
