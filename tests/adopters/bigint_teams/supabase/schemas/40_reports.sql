-- Weekly figures of each team; a job of ours writes them and mails them out.
create table "public"."reports" (
  "id" bigint generated always as identity primary key,
  "teamId" bigint not null references "public"."teams" ("id") on delete cascade,
  "week" date not null,
  "figures" jsonb not null,
  unique ("teamId", "week")
);
alter table "public"."reports" enable row level security;
