import assert from "node:assert/strict";
import { embeddedPostgres } from "./binaries.ts";
import { connect } from "./connection.ts";
import { startHostedCluster } from "../testing/prepared_clusters.ts";
import { push } from "../testing/push.ts";
import { seed } from "./seed.ts";

Deno.test("the demo's accounts are those that a real Supabase Auth finds", async () => {
  const { cluster, password, stop } = await startHostedCluster("seed", embeddedPostgres());
  const auth = connect(cluster.url("supabase_auth_admin", password));
  try {
    // Supabase Auth asks for this instance only, and reads these columns as text.
    await auth`alter table auth.users add column instance_id uuid`;
    await push({ cluster, password });
    const secrets = { databasePassword: password, demoPassword: "a long passphrase" };
    assert.equal((await seed(cluster, secrets)).length, 7);
    const found = await auth`
      select from auth.users
      where instance_id = '00000000-0000-0000-0000-000000000000' and aud = 'authenticated'
        and email = lower(email) and email_confirmed_at is not null
        and confirmation_token = '' and recovery_token = '' and email_change = ''
        and email_change_token_new = ''
    `;
    assert.equal(found.length, 7);
  } finally {
    await auth.end();
    await stop();
  }
});
