/** A stack with the project of demo.sql, in a folder of its own. */
import { createClient } from "@supabase/supabase-js";
import { createBulwark } from "../../clients/js/src/index.ts";
import { embeddedPostgres } from "../stack/binaries.ts";
import { startCluster } from "../stack/cluster.ts";
import { connect } from "../stack/connection.ts";
import { Failure } from "../stack/failure.ts";
import { migrate } from "../stack/migrate.ts";
import { inRepository, stackPaths } from "../stack/paths.ts";
import { preparePlatform } from "../stack/platform.ts";
import { loadSecrets } from "../stack/secrets.ts";
import { type Stack, startStack } from "../stack/stack.ts";

/** A stack that serves the project, and the session of one of its administrators. */
export interface Demo {
  stack: Stack;
  slug: string;
  session: object;
  stop(): Promise<void>;
}

/** Starts the project. Nothing is sealed before its past is written. */
export async function startDemo(folder: string): Promise<Demo> {
  const paths = stackPaths(folder);
  const { databasePassword: password, demoPassword } = await loadSecrets(paths.secrets);
  const cluster = await startCluster({
    installation: embeddedPostgres(),
    folder: paths.database,
    log: paths.postgresLog,
    password,
  });
  try {
    await preparePlatform(cluster, password);
    await migrate({ cluster, password });
    const sql = connect(cluster.url("supabase_admin", password));
    try {
      const demo = await Deno.readTextFile(inRepository("scripts", "screenshots", "demo.sql"));
      await sql.begin(async (transaction) => {
        await transaction`select set_config('bulwark.demo_password', ${demoPassword}, true)`;
        await transaction.unsafe(demo);
      });
    } finally {
      await sql.end();
    }
  } finally {
    await cluster.stop();
  }
  const stack = await startStack({ folder, port: 0 });
  try {
    return { stack, ...await use(stack, demoPassword) };
  } catch (thrown) {
    await stack.stop();
    throw thrown;
  }
}

/** Does some things in the present: keys, and a webhook whose receiver fails. */
async function use(stack: Stack, password: string): Promise<Omit<Demo, "stack">> {
  const receiver = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => new Response("The queue is full", { status: 503 }),
  );
  const supabase = createClient(stack.url, stack.secrets.publishableKey, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
  });
  const { data: { session } } = await supabase.auth.signInWithPassword({
    email: "maya@larkspur.test",
    password,
  });
  if (!session) throw new Failure("DEMO", "Cannot sign in to the demo");
  const bulwark = createBulwark(supabase, { throwOnError: true });
  const organization = (await bulwark.organizations.list()).find(({ slug }) => slug === "larkspur");
  if (!organization) throw new Failure("DEMO", "Cannot find the demo's organization");
  const { id } = organization;
  await bulwark.roles.create(id, {
    name: "contractor",
    description: "Reads invoices for a time",
    inherits: ["viewer"],
    permissions: ["audit:read"],
  });
  for (const [name, days] of [["nightly import", 60], ["billing export", 3]] as const) {
    const expires_at = new Date(Date.now() + days * 86_400_000).toISOString();
    await bulwark.apiKeys.create(id, { name, scopes: ["analytics:read"], expires_at });
  }
  const endpoint = await bulwark.webhooks.create({
    organization_id: id,
    name: "Incidents to the pager",
    url: `http://127.0.0.1:${receiver.addr.port}/hook`,
    subscriptions: [{ pattern: "security.*" }],
  });
  await bulwark.webhooks.test(endpoint.id);
  const stop = async () => {
    await stack.stop();
    await receiver.shutdown();
  };
  return { slug: organization.slug, session, stop };
}
