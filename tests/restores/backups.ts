/** Backups as people make them: with the Supabase CLI's flags, and with pg_dump's own formats. */
import { connect, type Sql } from "../../scripts/stack/connection.ts";
import type { ScratchCluster } from "../../scripts/stack/scratch_cluster.ts";

export { contents, dumpAsCli, restoreAsCli } from "../../scripts/drill/backups.ts";

/** The data with its tables the other way round: no order of them may matter. */
export function reversed(data: string): string {
  const [head = "", ...tables] = data.split(/^(?=--\n-- Data for Name: )/m);
  const last = tables.pop() ?? "";
  const end = last.search(/^--\n-- (?!Data)/m);
  return [head, last.slice(0, end), ...tables.reverse(), last.slice(end)].join("");
}

/** Two organizations, an endpoint that is told of everything, and an entry that nobody sealed. */
export async function fillProject(sql: Sql): Promise<void> {
  const sealed = `'bw1.a256gcm.' || repeat('A', 22) || '.' || repeat('B', 120)`;
  for (const name of ["acme", "globex"]) {
    await sql.begin(async (own) => {
      const [{ id } = {}] = await own`
        insert into auth.users (id, aud, role, email, email_confirmed_at)
        values (gen_random_uuid(), 'authenticated', 'authenticated', ${
        name + "@people.test"
      }, now())
        returning id
      `;
      const [session] = await own`
        insert into auth.sessions (id, user_id, aal, created_at, updated_at)
        values (gen_random_uuid(), ${id}, 'aal1', now(), now()) returning id
      `;
      const claims = { sub: id, role: "authenticated", session_id: session?.id };
      await own`select set_config('request.jwt.claims', ${JSON.stringify(claims)}, true),
        set_config('role', 'authenticated', true)`;
      const [made] = await own`select id from bulwark.create_organization(${name}, ${name})`;
      await own`select set_config('role', 'none', true)`;
      await own.unsafe(`
        select bulwark.create_webhook_endpoint(
          gen_random_uuid(), '${made?.id}', 'Receiver', 'https://receiver.example', ${sealed},
          gen_random_uuid(), ${sealed}, '[{"pattern": "*", "minimum_severity": "debug"}]'
        )`);
    });
    await sql`select bulwark.seal_audit_log()`;
  }
  await sql`select bulwark.raise_security_event('breach_attempt', null, null, 'somebody')`;
  await sql`select bulwark.seal_audit_log()`;
  await sql`insert into bulwark.permissions values ('test:unsealed', 'x')`;
}

/** Privileges, policies and triggers, a line each. */
export async function protections(sql: Sql): Promise<string[]> {
  const rows = await sql<{ line: string }[]>`
    with ours as (
      select n.oid from pg_namespace n where n.nspname in ('bulwark', 'bulwark_private')
    )
    select format('%s %s %s', c.oid::regclass, a.grantee::regrole, a.privilege_type) as line
    from pg_class c, aclexplode(c.relacl) a
    where c.relnamespace in (select o.oid from ours o) and a.grantee <> c.relowner
    union all
    select format('%s %s', p.oid::regprocedure, a.grantee::regrole)
    from pg_proc p, aclexplode(p.proacl) a
    where p.pronamespace in (select o.oid from ours o) and a.grantee <> p.proowner
    union all
    select format('trigger %s %s %s', t.tgrelid::regclass, t.tgname, t.tgenabled)
    from pg_trigger t where not t.tgisinternal
    union all
    select format('policy %s %s', p.polrelid::regclass, p.polname) from pg_policy p
    union all
    select format('member %s %s', m.roleid::regrole, m.member::regrole)
    from pg_auth_members m where m.roleid::regrole::text = 'api_key'
    order by 1
  `;
  return rows.map(({ line }) => line);
}

/** Runs something on a connection as `postgres` that is closed afterwards. */
export async function as<T>(
  target: ScratchCluster,
  database: string,
  task: (sql: Sql) => Promise<T>,
): Promise<T> {
  const sql = connect(target.cluster.url("postgres", target.password, database));
  try {
    return await task(sql);
  } finally {
    await sql.end();
  }
}
