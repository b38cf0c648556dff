-- Webhooks invitations: the message to an invitee, as one delivery to the one endpoint that sends
-- messages for the installation.
-- Protects the token: it is made when a worker claims the delivery, so neither the outbox, the
-- audit log nor the sender has it, and each attempt and replay has another. Endpoints of
-- organizations never get the event.
-- No function here is SECURITY DEFINER: invite_member and claim_webhook_deliveries call them.

insert into bulwark.settings (name, value, description) values
  ('webhooks.invitation_link', 'null',
    'The link of messages to invitees: an address of the application with {token} in it');

-- A malformed link would reach people.
alter table bulwark.settings
  -- squawk-ignore constraint-missing-not-valid
  add constraint settings_webhooks_invitation_link check (
    name <> 'webhooks.invitation_link' or value = 'null'
    or jsonb_typeof(value) = 'string' and value #>> '{}' ~ '^https?://[^[:space:]]*\{token\}'
  );

create or replace function bulwark_private.announce_invitation(invitation_id uuid)
  returns boolean
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  insert into bulwark.webhook_deliveries (
    endpoint_id, event_id, occurred_at, source, severity, event_type
  )
  select s.endpoint_id, i.id, i.created_at, 'invitation', 'info', s.pattern
  from bulwark.invitations i
  join bulwark.webhook_subscriptions s on s.pattern = 'invitation.created'
  where i.id = announce_invitation.invitation_id;
  return found;
end;
$$;
comment on function bulwark_private.announce_invitation(uuid) is
  'Whether the invitation will be sent to the invitee, with a token that is made then: writes a
   delivery to the endpoint with the subscription invitation.created; false if there is none.';

create function bulwark_private.invitation_message(invitation_id uuid)
  returns json
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_invitation bulwark.invitations;
  v_token text;
begin
  select * into v_invitation
  from bulwark.invitations i
  where i.id = invitation_message.invitation_id
    and i.accepted_at is null
    and i.revoked_at is null
    and i.expires_at > now();
  if found then
    v_token := bulwark_private.issue_invitation_token(v_invitation.id);
  end if;
  return json_build_object(
    'type', 'invitation.created',
    'timestamp', to_char(
      coalesce(v_invitation.created_at, now()) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
    ),
    'severity', 'info',
    'data', case
      when v_token is null then json_build_object('id', invitation_id, 'removed', true)
      else (
        select json_build_object(
          'id', v_invitation.id,
          'organization', json_build_object('id', o.id, 'name', o.name, 'slug', o.slug),
          'email', v_invitation.email,
          'role', r.name,
          'invited_by', case when p.user_id is not null then json_build_object(
            'name', bulwark_private.printable_name(p.said_name), 'email', p.email
          ) end,
          'expires_at', v_invitation.expires_at,
          'role_expires_at', v_invitation.role_expires_at,
          'token', v_token,
          'link', replace(
            bulwark_private.setting('webhooks.invitation_link') #>> '{}', '{token}', v_token
          )
        )
        from bulwark.organizations o
        join bulwark.roles r on r.id = v_invitation.role_id
        left join bulwark_private.people p on p.user_id = v_invitation.invited_by
        where o.id = v_invitation.organization_id
      )
    end
  );
end;
$$;
comment on function bulwark_private.invitation_message(uuid) is
  'The content of a delivery about an invitation, with a new token, which replaces the one before.
   Without, and with removed true, if the invitation is no longer pending.';
