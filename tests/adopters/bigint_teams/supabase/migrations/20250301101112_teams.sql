-- Written by `supabase db diff -f init` from ./schemas.
create type "public"."team_role" as enum ('owner', 'member', 'guest');

create table "public"."teams" (
  "id" bigint generated always as identity primary key,
  "name" text not null,
  "createdAt" timestamp with time zone not null default now()
);

create table "public"."team_members" (
  "teamId" bigint not null references "public"."teams" ("id") on delete cascade,
  "userId" uuid not null references "auth"."users" ("id") on delete cascade,
  "role" "public"."team_role" not null default 'member',
  "createdAt" timestamp with time zone not null default now(),
  primary key ("teamId", "userId")
);
create index "team_members_userId_idx" on "public"."team_members" ("userId");

create function "public"."my_team_ids"() returns setof bigint
  language sql stable security definer set search_path to ''
  as $$ select "teamId" from "public"."team_members" where "userId" = "auth"."uid"() $$;

alter table "public"."teams" enable row level security;
alter table "public"."team_members" enable row level security;

create policy "team: read" on "public"."teams" for select to "authenticated"
  using ("id" in (select "public"."my_team_ids"()));
create policy "member: read" on "public"."team_members" for select to "authenticated"
  using ("teamId" in (select "public"."my_team_ids"()));

-- A new team has its maker as owner.
create function "public"."create_team"("teamName" text) returns bigint
  language plpgsql security definer set search_path to ''
  as $$
declare
  team bigint;
begin
  if "auth"."uid"() is null then
    raise exception 'not signed in';
  end if;
  insert into "public"."teams" ("name") values ("teamName") returning "id" into team;
  insert into "public"."team_members" ("teamId", "userId", "role") values (team, "auth"."uid"(), 'owner');
  return team;
end;
$$;
revoke execute on function "public"."create_team"(text) from public, "anon";
