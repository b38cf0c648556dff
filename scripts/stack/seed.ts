import { exists } from "./binaries.ts";
import type { Cluster } from "./cluster.ts";
import { connect, type Sql } from "./connection.ts";
import { Failure, reason } from "./failure.ts";
import { inRepository } from "./paths.ts";
import type { Secrets } from "./secrets.ts";

/** An account of the demo, with the role it is there to show. */
export interface DemoAccount {
  email: string;
  role: string;
}

/**
 * Fills a database that has no users with the demo, and says which demo accounts there are. The
 * seed finds their password in the setting `bulwark.demo_password`.
 */
export async function seed(
  cluster: Cluster,
  secrets: Pick<Secrets, "databasePassword" | "demoPassword">,
): Promise<DemoAccount[]> {
  const sql = connect(cluster.url("postgres", secrets.databasePassword));
  try {
    const file = inRepository("supabase", "seed.sql");
    if (exists(file) && await isEmpty(sql)) await runSeed(sql, file, secrets.demoPassword);
    return await sql<DemoAccount[]>`
      select email, raw_user_meta_data ->> 'demo' as role
      from auth.users
      where raw_user_meta_data ->> 'demo' is not null
      order by created_at, email
    `;
  } finally {
    await sql.end();
  }
}

async function isEmpty(sql: Sql): Promise<boolean> {
  const [row] = await sql`select exists (select from auth.users) as found`;
  return !row?.found;
}

async function runSeed(sql: Sql, file: string, password: string): Promise<void> {
  try {
    await sql.begin(async (transaction) => {
      await transaction`select set_config('bulwark.demo_password', ${password}, true)`;
      await transaction.unsafe(await Deno.readTextFile(file));
    });
  } catch (thrown) {
    throw new Failure("SEED_FAILED", `Cannot seed the demo: supabase/seed.sql: ${reason(thrown)}`);
  }
}
