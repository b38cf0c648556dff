create view "public"."openTickets" with (security_invoker = on) as
  select t."id", t."teamId", t."subject", t."createdAt", count(m."id") as "messageCount",
    max(m."sentAt") as "lastMessageAt"
  from "public"."tickets" t
  left join "public"."messages" m on m."ticketId" = t."id"
  where t."state" <> 'closed'
  group by t."id";

create view "public"."teamLoad" with (security_invoker = on) as
  select "teamId", count(*) as "open", min("createdAt") as "oldest"
  from "public"."openTickets"
  group by "teamId";

-- For the status page: how many tickets were closed, whoever's they are.
create materialized view "public"."closedPerDay" as
  select date_trunc('day', "updatedAt") as "day", count(*) as "closed"
  from "public"."tickets"
  where "state" = 'closed'
  group by 1;
create unique index "closedPerDay_day_idx" on "public"."closedPerDay" ("day");
