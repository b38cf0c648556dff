/** For tests with real parallel connections: many accounts, quickly, and requests as them. */
import type { Sql } from "postgres";

/** A confirmed account that has not signed up over HTTP; races need many, quickly. */
export async function account(sql: Sql): Promise<string> {
  const id = crypto.randomUUID();
  await sql`
    insert into auth.users (id, aud, role, email, email_confirmed_at)
    values (${id}, 'authenticated', 'authenticated', ${`${id}@races.test`}, now())
  `;
  await sql`insert into auth.sessions (id, user_id, aal) values (${id}, ${id}, 'aal1')`;
  return id;
}

export async function organizationOf(sql: Sql, administrators: string[]): Promise<string> {
  const slug = `race-${crypto.randomUUID()}`;
  const [made] = await sql`
    select id from bulwark.create_organization(${slug}, ${slug}, ${administrators[0] ?? ""})
  `;
  for (const user of administrators.slice(1)) {
    await sql`select bulwark.grant_role(${user}, 'admin', ${made?.id})`;
  }
  return made?.id;
}

/** Runs statements as a signed-in user on a connection of their own, as PostgREST would. */
export async function as<T>(
  sql: Sql,
  user: string,
  work: (transaction: Sql) => Promise<T>,
  isolation = "read committed",
): Promise<T> {
  return await sql.begin(`isolation level ${isolation}`, async (transaction) => {
    const claims = JSON.stringify({ sub: user, session_id: user, role: "authenticated" });
    await transaction`select set_config('request.jwt.claims', ${claims}, true)`;
    await transaction`set local role authenticated`;
    return await work(transaction as unknown as Sql);
  }) as T;
}
