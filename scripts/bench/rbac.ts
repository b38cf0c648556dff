/**
 * The cost of a policy in the array form, compared with the same query without a policy and with the
 * policy that most projects write. One table of a million rows, a thousand organizations, a user in
 * ten of them. The organizations follow a table of the host with bigint keys, so the same rows are
 * measured by those keys too.
 */
import { bench, type BenchRow, milliseconds, perSecond } from "./harness.ts";
import { canCount, claimsOf, instructionCounter } from "./instructions.ts";

const user = "00000000-0000-4000-9000-000000000001";
const superAdmin = "00000000-0000-4000-9000-000000000002";

/** A decision of the version before took 624 thousand instructions: 1.5 times its rate. */
const hasPermissionAim = 416_000;

export default bench({
  async setup(context) {
    const { postgres, admin, asUser, log } = context;
    log("a million rows in a thousand organizations");
    await postgres.unsafe(`
      insert into auth.users (id, email) values
        ('${user}', 'user@bench.test'), ('${superAdmin}', 'super@bench.test');
      create table public.teams (id bigint primary key, name text, slug text);
      select bulwark.use_organizations('public.teams', slug => 'slug');
      insert into public.teams
        select n, 'Org ' || n, 'org-' || n from generate_series(1, 1000) as n;
      select count(bulwark.grant_role('${user}', 'viewer', o.id))
        from (select id from bulwark.organizations order by slug limit 10) as o;
      select bulwark.grant_role('${superAdmin}', 'super_admin');

      create table public.reports (
        id bigint generated always as identity primary key,
        organization_id uuid not null,
        created_at timestamptz not null,
        body text not null
      );
      insert into public.reports (organization_id, created_at, body)
        select o.ids[1 + n % 1000], now() - n * interval '1 second', repeat('x', 100)
        from generate_series(1, 1000000) as n,
          (select array_agg(id) as ids from bulwark.organizations) as o;
      create index on public.reports (organization_id, created_at desc);
      create table public.team_reports (
        id bigint primary key,
        team_id bigint not null,
        created_at timestamptz not null,
        body text not null
      );
      insert into public.team_reports
        select r.id, k.key::bigint, r.created_at, r.body
        from public.reports r
        join bulwark_private.organization_keys k using (organization_id)
        order by r.id;
      create index on public.team_reports (team_id, created_at desc);
      create table public.reports_per_row (like public.reports including all);
      insert into public.reports_per_row overriding system value select * from public.reports;

      create function public.per_row_permission(organization_id uuid) returns boolean
        language sql stable security definer set search_path = '' as $$
          select exists (
            select from bulwark.user_roles g
            join bulwark_private.effective_permissions e on e.role_id = g.role_id
            where g.user_id = auth.uid()
              and g.organization_id = per_row_permission.organization_id
              and e.permission = 'analytics:read'
          );
        $$;
      alter table public.reports enable row level security;
      alter table public.team_reports enable row level security;
      alter table public.reports_per_row enable row level security;
      grant select on public.reports, public.team_reports, public.reports_per_row to authenticated;
      grant execute on function public.per_row_permission(uuid) to authenticated;
      create policy "Members read reports where they may" on public.reports
        for select to authenticated
        using (organization_id = any (array(select bulwark.organizations_with('analytics:read'))));
      create policy "Members read reports of their teams" on public.team_reports
        for select to authenticated
        using (team_id = any (array(select bulwark.team_ids('analytics:read'))));
      create policy "Members read reports, asked row by row" on public.reports_per_row
        for select to authenticated using (public.per_row_permission(organization_id));
    `);
    // A row whose commit is not on disk yet cannot be marked visible to all.
    await admin.unsafe("checkpoint");
    await admin.unsafe("vacuum analyze");

    const mine = await asUser(user);
    const everything = await asUser(superAdmin);
    const [organizations] = await postgres`
      select array_agg(organization_id)::text as literal from bulwark.user_roles
      where user_id = ${user}
    `;
    const filter = `organization_id = any ('${organizations?.literal}')`;
    const count = (table: string) => `select count(*) from public.${table}`;
    const page = "select * from public.reports";
    const firstOf50 = "order by created_at desc limit 50";
    const acme = (await mine`select bulwark.member_organizations() as id limit 1`)[0]?.id;

    const rows: BenchRow[] = [
      {
        name: "count(*) over 1M rows",
        unit: "ms",
        better: "lower",
        ours: () => milliseconds(() => mine.unsafe(count("reports")), 20),
        peers: [
          {
            name: "owner with a literal filter",
            run: () =>
              milliseconds(() => postgres.unsafe(`${count("reports")} where ${filter}`), 20),
          },
          {
            name: "policy with a per-row function",
            run: () => milliseconds(() => mine.unsafe(count("reports_per_row"))),
            rounds: 1,
          },
        ],
      },
      {
        name: "first page of 50",
        unit: "ms",
        better: "lower",
        ours: () => milliseconds(() => mine.unsafe(`${page} ${firstOf50}`), 20),
        peers: [
          {
            name: "owner with a literal filter",
            run: () =>
              milliseconds(() => postgres.unsafe(`${page} where ${filter} ${firstOf50}`), 20),
          },
          {
            name: "policy with a per-row function",
            run: () =>
              milliseconds(() => mine.unsafe(`select * from public.reports_per_row ${firstOf50}`)),
            rounds: 1,
          },
        ],
      },
      {
        name: "count(*) over 1M rows, bigint teams",
        unit: "ms",
        better: "lower",
        ours: () => milliseconds(() => mine.unsafe(count("team_reports")), 20),
        peers: [{
          name: "UUIDs",
          run: () => milliseconds(() => mine.unsafe(count("reports")), 20),
        }],
      },
      {
        name: "first page of 50, bigint teams",
        unit: "ms",
        better: "lower",
        ours: () =>
          milliseconds(() => mine.unsafe(`select * from public.team_reports ${firstOf50}`), 20),
        peers: [{
          name: "UUIDs",
          run: () => milliseconds(() => mine.unsafe(`${page} ${firstOf50}`), 20),
        }],
      },
      {
        name: "count(*) as super_admin",
        unit: "ms",
        better: "lower",
        ours: () => milliseconds(() => everything.unsafe(count("reports"))),
        peers: [{
          name: "owner without a filter",
          run: () => milliseconds(() => postgres.unsafe(count("reports"))),
        }],
      },
      {
        name: "has_permission on one connection",
        unit: "decisions/s",
        better: "higher",
        ours: () => perSecond(() => mine`select bulwark.has_permission('analytics:read', ${acme})`),
        peers: [{ name: "select 1", run: () => perSecond(() => mine`select 1`) }],
      },
      {
        name: "has_permission, beside a query that does nothing",
        unit: "ms",
        better: "lower",
        ours: async () =>
          1000 /
            await perSecond(() => mine`select bulwark.has_permission('analytics:read', ${acme})`) -
          1000 / await perSecond(() => mine`select`),
        peers: [],
      },
    ];
    if (canCount()) {
      const count = instructionCounter(context);
      const counted = (text: string) =>
        count({ text, role: "authenticator", before: claimsOf(user) });
      rows.push({
        name: "has_permission, beside a query that does nothing",
        unit: "instructions",
        better: "lower",
        ours: async () =>
          await counted(`select bulwark.has_permission('analytics:read', '${acme}')`) -
          await counted("select"),
        peers: [],
        aim: { value: hasPermissionAim },
      });
    }
    return rows;
  },
});
