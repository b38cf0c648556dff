create type "public"."ticket_state" as enum ('open', 'waiting', 'closed');

create table "public"."tickets" (
  "id" bigint generated always as identity primary key,
  "teamId" bigint not null references "public"."teams" ("id") on delete cascade,
  "assigneeId" uuid references "auth"."users" ("id") on delete set null,
  "subject" text not null,
  "customerEmail" text not null,
  "state" "public"."ticket_state" not null default 'open',
  "createdAt" timestamp with time zone not null default now(),
  "updatedAt" timestamp with time zone not null default now()
);
create index "tickets_teamId_idx" on "public"."tickets" ("teamId");
create index "tickets_assigneeId_idx" on "public"."tickets" ("assigneeId");

-- One partition a year: old mail moves to cheap storage some day.
create table "public"."messages" (
  "id" bigint generated always as identity,
  "teamId" bigint not null,
  "ticketId" bigint not null references "public"."tickets" ("id") on delete cascade,
  "body" text not null,
  "sentAt" timestamp with time zone not null default now(),
  primary key ("id", "sentAt")
) partition by range ("sentAt");
create index "messages_teamId_idx" on "public"."messages" ("teamId");
create index "messages_ticketId_idx" on "public"."messages" ("ticketId");

create table "public"."messages_2025" partition of "public"."messages"
  for values from ('2025-01-01 00:00:00+00') to ('2026-01-01 00:00:00+00');
create table "public"."messages_later" partition of "public"."messages" default;

alter table "public"."tickets" enable row level security;
alter table "public"."messages" enable row level security;
alter table "public"."messages_2025" enable row level security;
alter table "public"."messages_later" enable row level security;

create policy "ticket: all" on "public"."tickets" to "authenticated"
  using ("teamId" in (select "public"."my_team_ids"()))
  with check ("teamId" in (select "public"."my_team_ids"()));
create policy "message: read" on "public"."messages" for select to "authenticated"
  using ("teamId" in (select "public"."my_team_ids"()));
create policy "message: write" on "public"."messages" for insert to "authenticated"
  with check ("teamId" in (select "public"."my_team_ids"()));

create function "public"."touchUpdatedAt"() returns trigger
  language plpgsql
  as $$
begin
  new."updatedAt" := now();
  return new;
end;
$$;
create trigger "tickets_touchUpdatedAt" before update on "public"."tickets"
  for each row execute function "public"."touchUpdatedAt"();
