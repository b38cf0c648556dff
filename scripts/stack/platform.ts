import { inRepository } from "./paths.ts";
import type { Cluster } from "./cluster.ts";
import { connect, type Sql } from "./connection.ts";
import { authSources, makeAuthSchema } from "./lite.ts";
import { requireSameAuth } from "./real_auth.ts";

/** The roles that log in. One generated password serves them all, as in self-hosted Supabase. */
export const loginRoles = ["postgres", "authenticator", "supabase_auth_admin"] as const;

/**
 * Makes a fresh cluster look like a hosted Supabase project: roles, schemas, extensions and default
 * privileges in one transaction, then the auth schema, by Lite unless `makeRealAuth` makes it. Does
 * nothing to one that already does.
 */
export async function preparePlatform(
  cluster: Cluster,
  password: string,
  makeRealAuth?: () => Promise<void>,
): Promise<void> {
  const admin = connect(cluster.url("supabase_admin", password));
  try {
    if (!await hasPlatform(admin)) {
      const platform = await Deno.readTextFile(inRepository("scripts", "stack", "platform.sql"));
      await admin.begin(async (transaction) => {
        await transaction.unsafe(platform);
        for (const role of loginRoles) {
          await transaction.unsafe(
            `alter role ${role} password '${password.replaceAll("'", "''")}'`,
          );
        }
      });
    }
    // Made again, its functions would be new, and the sealer would compare everything.
    if (!makeRealAuth && await sourcesOfAuth(admin) === await authSources()) return;
  } finally {
    await admin.end();
  }
  await requireSameAuth(cluster.url("supabase_admin", password), makeRealAuth !== undefined);
  await (makeRealAuth?.() ?? makeAuthSchema(cluster.url("supabase_auth_admin", password)));
}

async function hasPlatform(admin: Sql): Promise<boolean> {
  const [role] = await admin`select from pg_roles where rolname = 'authenticator'`;
  return role !== undefined;
}

async function sourcesOfAuth(admin: Sql): Promise<string | null> {
  const [row] = await admin`
    select obj_description(to_regnamespace('auth'), 'pg_namespace') as sources
  `;
  return row?.["sources"] ?? null;
}
