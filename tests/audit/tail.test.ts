/** Followers of the log with parallel connections: an entry that commits late is not missed. */
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { connect, createOrganization, ok, signUp } from "../support.ts";

interface Page {
  entries: { id: string; resource_id: string }[];
  cursor: string;
  more: boolean;
}

/** Reports one entry as the service role; it is in the log when the transaction commits. */
async function report(sql: Sql, organization: string, name: string): Promise<void> {
  await sql`
    select bulwark.log_audit_event('data.read', organization_id => ${organization}::uuid,
      resource_type => 'tests', resource_id => ${name})
  `;
}

Deno.test("AUC-P01: a follower gets every entry once, in whatever order transactions commit", async () => {
  const admin = await signUp("follower");
  const organization = await createOrganization(admin);
  const sql = connect(4);
  const seen: string[] = [];
  let cursor: string | undefined;
  const follow = async () => {
    for (let more = true; more;) {
      const page = ok(
        await admin.client.rpc("tail_audit_log", {
          organization_id: organization,
          page_size: 2,
          ...(cursor === undefined ? {} : { after: cursor }),
        }),
      ) as unknown as Page;
      if (cursor !== undefined) seen.push(...page.entries.map((entry) => entry.resource_id));
      ({ cursor, more } = page);
    }
  };
  await follow();
  await follow();
  seen.length = 0;
  let finish = () => {};
  const held = new Promise<void>((resolve) => finish = resolve);
  let begun = () => {};
  const written = new Promise<void>((resolve) => begun = resolve);
  const late = sql.begin(async (transaction) => {
    await report(transaction as unknown as Sql, organization, "late");
    begun();
    await held;
  });
  await written;
  for (const name of ["first", "second", "third", "fourth", "fifth"]) {
    await report(sql, organization, name);
  }
  await follow();
  assert.deepEqual(seen, ["first", "second", "third", "fourth", "fifth"]);
  await report(sql, organization, "sixth");
  await follow();
  finish();
  await late;
  await follow();
  await follow();
  assert.deepEqual(seen.slice(5), ["sixth", "late"], "each once, the late one too");

  const stranger = await signUp("stranger");
  await createOrganization(stranger);
  const refused = await stranger.client.rpc("tail_audit_log", {
    organization_id: organization,
    after: cursor!,
  });
  assert.equal(refused.error?.details, "RBAC_PERMISSION_DENIED");
  await sql.end();
});
