-- Auth calls this for every token.
create function public.add_workspace_claims(event jsonb)
returns jsonb
language plpgsql stable
as $$
declare
  mine record;
begin
  select w.id, w.plan into mine
  from workspaces w join workspace_people p on p.workspace = w.id
  where p.person = (event ->> 'user_id')::uuid
  order by w.personal desc, w.created_at
  limit 1;
  event := jsonb_set(event, '{claims,workspace}', to_jsonb(mine.id));
  return jsonb_set(event, '{claims,plan}', to_jsonb(mine.plan));
end;
$$;
grant usage on schema public to supabase_auth_admin;
grant execute on function public.add_workspace_claims to supabase_auth_admin;
revoke execute on function public.add_workspace_claims from public, anon, authenticated;
grant select on public.workspaces, public.workspace_people to supabase_auth_admin;
create policy "Auth reads workspaces" on public.workspaces for select to supabase_auth_admin using (true);
create policy "Auth reads people" on public.workspace_people for select to supabase_auth_admin using (true);

-- PostgREST calls this before every request: suspended people do nothing.
create function public.check_request()
returns void
language plpgsql
security definer set search_path = ''
as $$
begin
  if exists (select from public.profiles where id = auth.uid() and suspended) then
    raise sqlstate 'PT403' using message = 'Your account is suspended';
  end if;
  perform set_config('response.headers', '[{"X-Fieldnotes-Version": "7"}]', true);
end;
$$;
alter role authenticator set pgrst.db_pre_request = 'public.check_request';
notify pgrst, 'reload config';
