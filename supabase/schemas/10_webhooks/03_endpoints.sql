-- Webhooks endpoints: creating them and their subscriptions.
-- Protects against an endpoint that sees more than its creator: subscriptions need audit:read and
-- security:read besides webhook:manage, and an endpoint of the installation needs a super_admin.
-- The function webhooks has the keys and encrypts addresses and secrets. Values encrypted elsewhere
-- cannot be decrypted, so nothing is delivered.
-- SECURITY DEFINER: all of bulwark, because no client writes the tables.

create function bulwark_private.require_webhook_rights(organization_id uuid, patterns text[])
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if organization_id is null then
    if not bulwark_private.caller_is_service() and not bulwark.is_super_admin() then
      raise exception 'Cannot manage webhooks: those of the installation need a super_admin'
        using errcode = 'insufficient_privilege', detail = 'RBAC_PERMISSION_DENIED',
          hint = 'Name an organization, or ask a super_admin';
    end if;
    return;
  end if;
  perform bulwark.require_permission('webhook:manage', organization_id);
  if exists (select from unnest(patterns) as p where p = '*' or starts_with(p, 'audit.')) then
    perform bulwark.require_permission('audit:read', organization_id);
  end if;
  if exists (select from unnest(patterns) as p where p = '*' or starts_with(p, 'security.')) then
    perform bulwark.require_permission('security:read', organization_id);
  end if;
end;
$$;
comment on function bulwark_private.require_webhook_rights(uuid, text[]) is
  'Check: webhook:manage in the organization, and the right to read events of the patterns; a
   super_admin for endpoints of the installation. Errors: RBAC_PERMISSION_DENIED.';

create function bulwark_private.sees_webhooks(organization_id uuid)
  returns boolean
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return bulwark_private.caller_is_service() or case
    when organization_id is null then bulwark.is_super_admin()
    else bulwark_private.user_permits(
      bulwark_private.require_user(), 'webhook:read', organization_id
    )
  end;
end;
$$;
comment on function bulwark_private.sees_webhooks(uuid) is
  'Whether the caller may know of webhooks of the organization or, without one, of the installation.
   Without it, existing and unknown endpoints are answered the same.';

create function bulwark_private.find_webhook_endpoint(endpoint_id uuid, changes_content boolean)
  returns bulwark.webhook_endpoints
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_endpoint bulwark.webhook_endpoints;
  v_user constant uuid := bulwark.current_person();
begin
  perform bulwark_private.require_caller();
  select * into v_endpoint from bulwark.webhook_endpoints e where e.id = endpoint_id;
  if not found or bulwark_private.sees_webhooks(v_endpoint.organization_id) is not true then
    raise exception 'Cannot find the webhook endpoint: it does not exist or you may not see it'
      using errcode = 'PT404', detail = 'WEBHOOK_UNKNOWN_ENDPOINT',
        hint = 'List them with: select id from webhook_endpoints';
  end if;
  perform bulwark_private.require_webhook_rights(
    v_endpoint.organization_id,
    -- A new address also receives waiting and replayed deliveries, so their types are checked too.
    -- A caller who may read everything needs no check of each.
    case when changes_content then array(
      select s.pattern
      from bulwark.webhook_subscriptions s
      where s.endpoint_id = find_webhook_endpoint.endpoint_id
      union all
      select o.source || '.*'
      from unnest('{audit,security}'::bulwark.webhook_source[]) as o (source)
      where bulwark_private.user_permits(v_user, o.source || ':read', v_endpoint.organization_id)
          is not true
        and exists (
          select from bulwark.webhook_deliveries d
          where d.endpoint_id = find_webhook_endpoint.endpoint_id and d.source = o.source
        )
    ) end
  );
  return v_endpoint;
end;
$$;
comment on function bulwark_private.find_webhook_endpoint(uuid, boolean) is
  'An endpoint that the caller may manage right now. With changes_content the caller also needs the
   right to read its past and future deliveries. Errors: WEBHOOK_UNKNOWN_ENDPOINT,
   RBAC_PERMISSION_DENIED.';

create function bulwark_private.take_webhook_endpoint(endpoint_id uuid, changes_content boolean)
  returns bulwark.webhook_endpoints
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.lock_rights(e.organization_id)
  from bulwark_private.find_webhook_endpoint(endpoint_id, changes_content) e;
  perform bulwark_private.hold_session();
  perform from bulwark.webhook_endpoints e
  where e.id = take_webhook_endpoint.endpoint_id
  for update;
  return bulwark_private.find_webhook_endpoint(endpoint_id, changes_content);
end;
$$;
comment on function bulwark_private.take_webhook_endpoint(uuid, boolean) is
  'Like bulwark_private.find_webhook_endpoint, and locks the endpoint and the right to manage it.';

create function bulwark_private.store_webhook_subscriptions(
  endpoint bulwark.webhook_endpoints,
  subscriptions jsonb
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_patterns text[];
begin
  if jsonb_typeof(subscriptions) is distinct from 'array'
    or jsonb_array_length(subscriptions) not between 1 and 50
    or exists (
      select from jsonb_array_elements(subscriptions) s
      where jsonb_typeof(s) <> 'object'
        or jsonb_typeof(s -> 'pattern') is distinct from 'string'
        or s ->> 'pattern' !~
          '^(\*|invitation\.created|(audit|security)(\.[a-z][a-z0-9_]*)*\.(\*|[a-z][a-z0-9_]*))$'
        or length(s ->> 'pattern') > 160
        or coalesce(s ->> 'minimum_severity', 'debug') <> all (
          enum_range(null::bulwark.audit_severity)::text[]
        )
        or s - '{pattern,minimum_severity}'::text[] <> '{}'
    ) then
    raise exception 'Cannot subscribe: subscriptions are a list of 1 to 50 patterns with severities'
      using errcode = 'invalid_parameter_value', detail = 'WEBHOOK_INVALID_SUBSCRIPTION',
            hint = '[{"pattern": "audit.authz.*", "minimum_severity": "warning"}]';
  end if;
  v_patterns := array(select s ->> 'pattern' from jsonb_array_elements(subscriptions) s);
  -- The receiver of this event gets tokens that accept invitations. Each delivery makes a new token
  -- and ends the one before, so a second receiver would get tokens that no longer work.
  if 'invitation.created' = any (v_patterns) and (
    endpoint.organization_id is not null or endpoint.format <> 'json' or exists (
      select from bulwark.webhook_subscriptions s
      where s.pattern = 'invitation.created' and s.endpoint_id <> endpoint.id
    )
  ) then
    raise exception 'Cannot subscribe: one endpoint of the installation, as json, gets invitations'
      using errcode = 'invalid_parameter_value', detail = 'WEBHOOK_INVALID_SUBSCRIPTION';
  end if;
  perform bulwark_private.require_webhook_rights(endpoint.organization_id, v_patterns);
  delete from bulwark.webhook_subscriptions s
  where s.endpoint_id = endpoint.id and s.pattern <> all (v_patterns);
  insert into bulwark.webhook_subscriptions (endpoint_id, pattern, minimum_severity, scope)
  select
    endpoint.id, s ->> 'pattern',
    min(coalesce(s ->> 'minimum_severity', 'debug')::bulwark.audit_severity),
    bulwark_private.webhook_scope(endpoint.organization_id, endpoint.every_organization)
  from jsonb_array_elements(subscriptions) s
  group by s ->> 'pattern'
  on conflict on constraint webhook_subscriptions_pkey do update
    set minimum_severity = excluded.minimum_severity;
end;
$$;
comment on function bulwark_private.store_webhook_subscriptions(bulwark.webhook_endpoints, jsonb) is
  'Replaces the subscriptions of an endpoint. Errors: WEBHOOK_INVALID_SUBSCRIPTION,
   RBAC_PERMISSION_DENIED.';

create function bulwark_private.webhook_account(organization_id uuid)
  returns uuid
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    (
      select a.account_id
      from unnest(array[
        (select o.created_by from bulwark.organizations o
         where o.id = webhook_account.organization_id),
        bulwark.current_person()
      ]) with ordinality as a (account_id, place)
      where a.account_id is not null
        and bulwark_private.user_permits(a.account_id, 'org:create', null) is not true
      order by a.place
      limit 1
    ),
    organization_id,
    '00000000-0000-0000-0000-000000000000'
  );
$$;
comment on function bulwark_private.webhook_account(uuid) is
  'The account that a new endpoint of an organization counts for: the creator of the organization,
   else the caller. For creators who may make organizations for others (org:create) each
   organization counts for itself.';

create function bulwark.create_webhook_endpoint(
  id uuid,
  organization_id uuid,
  name text,
  origin text,
  destination text,
  secret_id uuid,
  secret text,
  subscriptions jsonb,
  format bulwark.webhook_format default 'json',
  ordering bulwark.webhook_ordering default 'none',
  include_details boolean default false,
  follow_redirects boolean default false,
  every_organization boolean default false
)
  returns bulwark.webhook_endpoints
  language plpgsql
  volatile
  security definer            -- definer because no client writes the tables
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_endpoint bulwark.webhook_endpoints;
begin
  perform bulwark_private.require_webhook_rights(organization_id, null);
  perform bulwark_private.lock_rights(organization_id);
  perform bulwark_private.hold_session();
  perform bulwark_private.require_webhook_rights(organization_id, null);
  perform bulwark_private.lock_count('webhook_endpoints', organization_id::text);
  if (
    select count(*) from bulwark.webhook_endpoints e
    where e.organization_id is not distinct from create_webhook_endpoint.organization_id
  ) >= (bulwark_private.setting('webhooks.maximum_endpoints'))::integer then
    raise exception 'Cannot create webhook endpoint: the limit is reached'
      using errcode = 'PT409', detail = 'WEBHOOK_TOO_MANY_ENDPOINTS',
            hint = 'Delete one first; the limit is the setting webhooks.maximum_endpoints';
  end if;
  if exists (
    select from bulwark.webhook_endpoints e where e.id = create_webhook_endpoint.id
  ) or exists (
    select from bulwark.webhook_deliveries d where d.endpoint_id = create_webhook_endpoint.id
  ) then
    raise exception 'Cannot create webhook endpoint: the id was used before'
      using errcode = 'unique_violation', detail = 'WEBHOOK_ID_TAKEN',
        hint = 'Choose a new random id';
  end if;
  insert into bulwark.webhook_endpoints (
    id, organization_id, every_organization, name, origin, format, ordering, include_details,
    follow_redirects, created_by
  )
  values (
    create_webhook_endpoint.id, create_webhook_endpoint.organization_id,
    create_webhook_endpoint.every_organization, create_webhook_endpoint.name,
    create_webhook_endpoint.origin, create_webhook_endpoint.format,
    create_webhook_endpoint.ordering, create_webhook_endpoint.include_details,
    create_webhook_endpoint.follow_redirects, bulwark.current_person()
  )
  returning * into v_endpoint;
  insert into bulwark_private.webhook_destinations (endpoint_id, organization_id, ciphertext)
  values (v_endpoint.id, v_endpoint.organization_id, destination);
  insert into bulwark_private.webhook_secrets (id, endpoint_id, organization_id, ciphertext)
  values (secret_id, v_endpoint.id, v_endpoint.organization_id, secret);
  insert into bulwark.webhook_endpoint_health (endpoint_id) values (v_endpoint.id);
  insert into bulwark_private.webhook_turns (endpoint_id, account_id)
  values (v_endpoint.id, bulwark_private.webhook_account(v_endpoint.organization_id));
  perform bulwark_private.store_webhook_subscriptions(v_endpoint, subscriptions);
  return v_endpoint;
end;
$$;
comment on function bulwark.create_webhook_endpoint(
  uuid, uuid, text, text, text, uuid, text, jsonb, bulwark.webhook_format, bulwark.webhook_ordering,
  boolean, boolean, boolean
) is
  'Creates an endpoint (webhook:manage, and the right to read the subscribed events). Called by the
   function webhooks, which checks and encrypts the address and the secret. Errors:
   RBAC_PERMISSION_DENIED, WEBHOOK_INVALID_SUBSCRIPTION, WEBHOOK_TOO_MANY_ENDPOINTS,
   WEBHOOK_ID_TAKEN.';

create function bulwark.update_webhook_endpoint(
  endpoint_id uuid,
  name text default null,
  ordering bulwark.webhook_ordering default null,
  include_details boolean default null,
  follow_redirects boolean default null,
  subscriptions jsonb default null
)
  returns bulwark.webhook_endpoints
  language plpgsql
  volatile
  security definer            -- definer because no client writes the tables
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_endpoint bulwark.webhook_endpoints := bulwark_private.take_webhook_endpoint(
    endpoint_id, include_details is not null or follow_redirects is not null
  );
begin
  update bulwark.webhook_endpoints e
  set name = coalesce(update_webhook_endpoint.name, e.name),
    ordering = coalesce(update_webhook_endpoint.ordering, e.ordering),
    include_details = coalesce(update_webhook_endpoint.include_details, e.include_details),
    follow_redirects = coalesce(update_webhook_endpoint.follow_redirects, e.follow_redirects)
  where e.id = v_endpoint.id
  returning * into v_endpoint;
  if subscriptions is not null then
    perform bulwark_private.store_webhook_subscriptions(v_endpoint, subscriptions);
  end if;
  return v_endpoint;
end;
$$;
comment on function bulwark.update_webhook_endpoint(
  uuid, text, bulwark.webhook_ordering, boolean, boolean, jsonb
) is
  'Changes the attributes of an endpoint that are not null (webhook:manage). Errors:
   WEBHOOK_UNKNOWN_ENDPOINT, WEBHOOK_INVALID_SUBSCRIPTION, RBAC_PERMISSION_DENIED.';
