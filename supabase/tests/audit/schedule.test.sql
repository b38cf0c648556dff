-- The schedule. pg_net and Vault cannot run here, so objects of their shape stand in for them; in a
-- project with Vault its own are used.
begin;
set local search_path = bulwark, public, extensions;
select plan(6);

do $$
begin
  if to_regnamespace('vault') is null then
    create schema vault;
    create table vault.secrets (name text, secret text);
    create view vault.decrypted_secrets as
      select s.name, s.secret as decrypted_secret from vault.secrets s;
    create function vault.create_secret(new_secret text, new_name text) returns void
      language sql as 'insert into vault.secrets (name, secret) values (new_name, new_secret)';
  end if;
end;
$$;
delete from vault.secrets
where name in ('bulwark_project_url', 'bulwark_scheduler_secret', 'another');
create schema net;
create table net.sent (url text, body jsonb, headers jsonb);
create function net.http_post(
  url text, body jsonb default '{}', params jsonb default '{}', headers jsonb default '{}',
  timeout_milliseconds integer default 5000
) returns bigint language sql as $$
  insert into net.sent (url, body, headers) values (url, body, headers);
  select count(*) from net.sent;
$$;

select tests.error_is('AUJ-01: without its secrets nothing is sent',
  '55000 SCHEDULER_NOT_CONFIGURED',
  $$ select bulwark_private.request_function('bulwark-audit/checkpoint') $$);
select vault.create_secret('https://project.test/', 'bulwark_project_url'),
  vault.create_secret('hush', 'bulwark_scheduler_secret'),
  vault.create_secret('secret', 'another');
select is(bulwark_private.request_function(
  'bulwark-audit/checkpoint'
), 1::bigint, 'AUJ-02: a request has an id');
select results_eq(
  $$ select url, headers ->> 'authorization' from net.sent $$,
  $$ values ('https://project.test/functions/v1/bulwark-audit/checkpoint', 'Bearer hush') $$,
  'AUJ-03: it goes to the function, with the secret'
);
select is(
  bulwark.schedule_jobs(), exists (
    select from pg_extension where extname = 'pg_cron'
  ),
  'AUJ-04: jobs are scheduled where pg_cron is installed'
);
create temporary table jobs (name text, command text);
do $$
begin
  if to_regclass('cron.job') is not null then
    execute $jobs$
      insert into jobs select jobname, command from cron.job where jobname like 'bulwark-audit-%'
    $jobs$;
  end if;
end;
$$;
select is_empty(
  $$ select * from jobs where command ~ 'hush' $$, 'AUJ-05: no job holds the secret'
);
select set_eq(
  $$ select name from jobs where name like 'bulwark-audit-%' $$,
  case when exists (select from pg_extension where extname = 'pg_cron') then array[
    'bulwark-audit-seal', 'bulwark-audit-retention', 'bulwark-audit-checkpoint',
    'bulwark-audit-check', 'bulwark-audit-partitions', 'bulwark-audit-archive'
  ] else array[]::text[] end,
  'AUJ-06: sealing, retention, checkpoints, verification, partitions and archive are scheduled'
);

select * from finish();
rollback;
