/** The applications, and what one of their guarded tables answers. */
import assert from "node:assert/strict";
import type { Adopter } from "./support.ts";

/** An application, and the table that its guard.sql guards. */
export interface Application {
  name: string;
  /** The guarded table, and a change of a row there. */
  table: string;
  change: string;
  /** Its column with the organization, as text. */
  tenant: string;
  /** Accounts: a member who may write, a member who may only read, a member of another organization. */
  writer: string;
  reader: string;
  stranger: string;
  /** The organizations of reader and stranger. */
  ours: string;
  theirs: string;
  /** Takes the reader out of the organization, and back in. */
  leave: string;
  join: string;
  /** The policies of guard.sql. */
  policies: string[];
  /** Further steps of the application to use Bulwark, and claims that hold then. */
  configure?(adopter: Adopter): Promise<void>;
  unconfigure?(adopter: Adopter): Promise<void>;
  alsoHolds?(adopter: Adopter): Promise<void>;
}

export const applications: Application[] = [
  {
    name: "uuid_tenants",
    table: "public.contracts",
    change: "update public.contracts set supplier = 'Paper & Daughters'",
    tenant: "organization_id::text",
    writer: "0a000000-0000-4000-8000-000000000001",
    reader: "0a000000-0000-4000-8000-000000000002",
    stranger: "0a000000-0000-4000-8000-000000000003",
    ours: "0b000000-0000-4000-8000-000000000001",
    theirs: "0b000000-0000-4000-8000-000000000002",
    leave: `delete from public.organization_users
      where user_id = '0a000000-0000-4000-8000-000000000002'`,
    join: `insert into public.organization_users (organization_id, user_id, role) values
      ('0b000000-0000-4000-8000-000000000001', '0a000000-0000-4000-8000-000000000002', 'buyer')`,
    policies: [
      "Members change contracts where they may",
      "Members read contracts where they may",
    ],
  },
  {
    name: "bigint_teams",
    table: "public.reports",
    change: `update public.reports set figures = '{"opened": 3}'`,
    tenant: `"teamId"::text`,
    writer: "1a000000-0000-4000-8000-000000000001",
    reader: "1a000000-0000-4000-8000-000000000004",
    stranger: "1a000000-0000-4000-8000-000000000003",
    ours: "1",
    theirs: "2",
    leave: `delete from public.team_members
      where "userId" = '1a000000-0000-4000-8000-000000000004'`,
    join: `insert into public.team_members ("teamId", "userId", "role") values
      (1, '1a000000-0000-4000-8000-000000000004', 'guest')`,
    policies: ["report: change", "report: read"],
    alsoHolds: partitionsAreAudited,
  },
  {
    name: "own_hooks",
    table: "public.exports",
    change: "update public.exports set format = 'markdown'",
    tenant: "workspace",
    writer: "2a000000-0000-4000-8000-000000000001",
    reader: "2a000000-0000-4000-8000-000000000002",
    stranger: "2a000000-0000-4000-8000-000000000003",
    ours: "ws_birds",
    theirs: "ws_stars",
    leave: `delete from public.workspace_people
      where person = '2a000000-0000-4000-8000-000000000002' and workspace = 'ws_birds'`,
    join: `insert into public.workspace_people (workspace, person, level) values
      ('ws_birds', '2a000000-0000-4000-8000-000000000002', 'reader')`,
    policies: ["Change exports", "Read exports"],
    configure: (adopter) => chooseHook(adopter, ownHook, chainedHook),
    unconfigure: (adopter) => chooseHook(adopter, chainedHook, ownHook),
    alsoHolds: hooksAreCalled,
  },
];

/** A message lies in a partition and is recorded for its team. */
async function partitionsAreAudited(adopter: Adopter): Promise<void> {
  await adopter.sql()`
    insert into public.messages ("teamId", "ticketId", "body") values (2, 3, 'Done.')
  `;
  const [entry] = await adopter.sql()`
    select organization_id = bulwark.organization_id('2') as in_theirs
    from bulwark.audit_logs where resource_type like 'public.messages%'
  `;
  assert.equal(entry?.["in_theirs"], true);
  await adopter.sql()`delete from public.messages where "body" = 'Done.'`;
}

const ownHook = "postgres/public/add_workspace_claims";
const chainedHook = "postgres/bulwark/custom_access_token_hook";

/** As `bulwark init` advises where there is a token hook. */
async function chooseHook(adopter: Adopter, from: string, to: string): Promise<void> {
  await adopter.edit("supabase/config.toml", (text) => text.replace(from, to));
}

/** Auth and the Data API call Bulwark's hooks, and those call the application's. */
async function hooksAreCalled(adopter: Adopter): Promise<void> {
  const vic = "2a000000-0000-4000-8000-000000000002";
  const [token] = await adopter.sql("supabase_auth_admin")`
    select bulwark.custom_access_token_hook(
      jsonb_build_object('user_id', ${vic}::text, 'claims', '{}'::jsonb)
    ) -> 'claims' as claims
  `;
  assert.equal(token?.["claims"].plan, "free", "theirs");
  const organizations = token?.["claims"].organizations.map(({ roles }: { roles: string[] }) =>
    roles
  );
  assert.deepEqual(organizations.flat().sort(), ["admin", "viewer"], "ours");

  const claims = await adopter.signIn(vic);
  const headers = await adopter.request(claims, async (sql) => {
    const [row] = await sql`select current_setting('response.headers') as headers`;
    return JSON.parse(row?.["headers"]).map((header: object) => Object.keys(header)[0]);
  });
  assert.ok(headers.includes("X-Fieldnotes-Version"), "theirs");
  assert.equal(await adopter.requestHook(), "bulwark.check_request", "which ours calls");
  await adopter.sql()`update public.profiles set suspended = true where id = ${vic}`;
  await assert.rejects(adopter.request(claims, (sql) => sql`select`), /Your account is suspended/);
  await adopter.sql()`update public.profiles set suspended = false where id = ${vic}`;

  // A sign-up makes a personal workspace, and with it an organization with its administrator.
  const zoe = crypto.randomUUID();
  await adopter.sql("supabase_auth_admin")`
    insert into auth.users (id, email) values (${zoe}, 'zoe@field.example')
  `;
  const [made] = await adopter.sql()`
    select o.name, r.name as role
    from bulwark.user_roles g
    join bulwark.organizations o on o.id = g.organization_id
    join bulwark.roles r on r.id = g.role_id
    where g.user_id = ${zoe}
  `;
  assert.deepEqual({ ...made }, { name: "zoe's notes", role: "admin" });
  await adopter.sql("supabase_auth_admin")`delete from auth.users where id = ${zoe}`;
}
