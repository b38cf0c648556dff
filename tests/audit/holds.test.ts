/**
 * Legal holds that are placed while a removal runs, with parallel connections: nothing that a hold
 * keeps is removed after the hold was placed.
 */
import assert from "node:assert/strict";
import postgres, { type Sql } from "postgres";
import { embeddedPostgres } from "../../scripts/stack/binaries.ts";
import { startInstalledCluster } from "../../scripts/testing/prepared_clusters.ts";

// A separate cluster: only a superuser can age entries and seals, which would break the log of
// another test.
const scratch = await startInstalledCluster("holds", embeddedPostgres());
const superuserUrl = scratch.cluster.url("supabase_admin", scratch.password);
const admin = postgres(superuserUrl, { max: 8, onnotice: () => {} });
await admin`update bulwark.settings set value = '100' where name = 'audit.keep_days'`;
Deno.test.afterAll(async () => {
  await admin.end({ timeout: 1 });
  await scratch.stop();
});

type Removal = (sql: Sql, who: Subject) => Promise<unknown>;
interface Subject {
  user: string;
  organization: string;
}

const removals: Record<string, Removal> = {
  erasure: (sql, { user }) => sql`select * from bulwark.erase_subject(${user}, 'asked for')`,
  "an organization's erasure": (sql, { user, organization }) =>
    sql`select * from bulwark.erase_subject(${user}, 'asked for', ${organization})`,
  retention: (sql) => sql`select bulwark.cleanup_old_audit_logs(100)`,
  pruning: (sql) => sql`select bulwark.prune_audit_log(100)`,
};
const holds: Record<string, (sql: Sql, who: Subject) => Promise<unknown>> = {
  person: (sql, { user }) => sql`select bulwark.place_legal_hold('case', subject_id => ${user})`,
  organization: (sql, { organization }) =>
    sql`select bulwark.place_legal_hold('case', organization_id => ${organization})`,
  resource: (sql, { user }) =>
    sql`select bulwark.place_legal_hold('case', resource_type => 'public.evidence',
      resource_id => ${user})`,
  "row written by hand": (sql, { organization }) =>
    sql`insert into bulwark.audit_legal_holds (reason, organization_id, placed_by_operator)
      values ('case', ${organization}, true)`,
};

/** Entries of a person, sealed and older than every retention, and their ids. */
async function oldEntries(count: number): Promise<Subject & { ids: string[] }> {
  const subject = { user: crypto.randomUUID(), organization: crypto.randomUUID() };
  const ids = await admin.begin(async (sql) => {
    await sql`alter table bulwark.audit_logs disable trigger audit_logs_stamp`;
    const rows = await sql`
      insert into bulwark.audit_logs (
        id, xid, occurred_at, timeline, salt, source, severity, event_type, organization_id, actor_id,
        actor_type, resource_type, resource_id
      )
      select
        overlay(overlay(bulwark_private.audit_id_floor(t.at)::text placing '7' from 15)
          placing right(gen_random_uuid()::text, 17) from 20)::uuid,
        pg_current_xact_id(), t.at, (select max(timeline) from bulwark_private.audit_timelines), gen_random_uuid(),
        'client', 'info', 'data.read', ${subject.organization}, ${subject.user}, 'user',
        'public.evidence', ${subject.user}
      from generate_series(1, ${count}) as n
      cross join lateral (select now() - interval '200 days' + n * interval '1 millisecond' as at) t
      returning id
    `;
    await sql`alter table bulwark.audit_logs enable always trigger audit_logs_stamp`;
    return rows.map(({ id }) => String(id));
  });
  await admin`select bulwark.seal_audit_log()`;
  return { ...subject, ids };
}

/** Makes all seals 200 days old, and then a new one. */
async function ageSeals(): Promise<void> {
  await admin.begin(async (sql) => {
    await sql`select pg_advisory_xact_lock(hashtextextended('bulwark.audit_seals', 0))`;
    await sql`alter table bulwark_private.audit_seals disable trigger audit_seals_refuse_change`;
    await sql`update bulwark_private.audit_seals set sealed_at = now() - interval '200 days'`;
    await sql`alter table bulwark_private.audit_seals enable always trigger audit_seals_refuse_change`;
  });
  await admin`select bulwark.log_audit_event('system.startup')`;
  await admin`select bulwark.seal_audit_log()`;
}

async function payloads(ids: string[]): Promise<number> {
  const [row] = await admin`
    select count(*)::int as n from bulwark.audit_logs where id = any (${ids}) and removed_by is null
  `;
  return row?.n;
}

/** Waits until a backend waits for a lock. */
async function untilBlocked(pid: number): Promise<void> {
  for (let turn = 0; turn < 500; turn++) {
    const [row] = await admin`select cardinality(pg_blocking_pids(${pid})) as n`;
    if (row?.n > 0) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error("nothing waits");
}

const codeOf = (thrown: unknown) => (thrown as { detail?: string }).detail;

/** Runs a task on its own connection while another one waits for `meanwhile` to end. */
async function whileOneWaits(
  one: (sql: Sql) => Promise<unknown>,
  meanwhile: (sql: Sql, oneWaits: () => Promise<void>) => Promise<void>,
): Promise<unknown> {
  const sql = postgres(superuserUrl, { max: 1, onnotice: () => {} });
  try {
    const [row] = await sql`select pg_backend_pid() as pid`;
    let outcome: Promise<unknown> | undefined;
    await admin.begin((locker) =>
      meanwhile(locker as unknown as Sql, async () => {
        outcome = one(sql).then(() => null, codeOf);
        await untilBlocked(row?.pid);
      })
    );
    return await outcome;
  } finally {
    await sql.end({ timeout: 1 });
    await admin`update bulwark.audit_legal_holds set released_at = now() where released_at is null`;
  }
}

for (const [removal, remove] of Object.entries(removals)) {
  for (const [about, hold] of Object.entries(holds)) {
    Deno.test(`AUD-H01: ${removal} that runs while a hold on a ${about} is placed removes nothing`, async () => {
      const subject = await oldEntries(50);
      if (removal === "pruning") await ageSeals();
      const outcome = await whileOneWaits(
        (sql) => remove(sql, subject),
        async (locker, oneWaits) => {
          // Locking one of the rows stops the removal after it has selected them.
          await locker`select from bulwark.audit_logs where id = ${subject.ids[49]!} for update`;
          await oneWaits();
          await hold(admin, subject);
        },
      );
      assert.equal(outcome, "AUDIT_HOLD_PLACED");
      assert.equal(await payloads(subject.ids), 50);
    });
  }
}

Deno.test("AUD-H02: a hold that is placed while a removal ends waits for it", async () => {
  const subject = await oldEntries(5);
  const outcome = await whileOneWaits(
    (sql) => holds.person!(sql, subject),
    async (sql, oneWaits) => {
      await removals.erasure!(sql, subject);
      await oneWaits();
    },
  );
  assert.equal(outcome, null);
  assert.equal(await payloads(subject.ids), 0);
});

Deno.test("AUD-H03: a hold that is placed but not committed is waited for", async () => {
  const subject = await oldEntries(5);
  const outcome = await whileOneWaits(
    (sql) => removals.erasure!(sql, subject),
    async (sql, oneWaits) => {
      await holds.person!(sql, subject);
      await oneWaits();
    },
  );
  assert.equal(outcome, "AUDIT_HOLD_PLACED");
  assert.equal(await payloads(subject.ids), 5);
});

Deno.test("AUD-H04: a hold in another organization stops nobody's removal", async () => {
  const subject = await oldEntries(5);
  const outcome = await whileOneWaits(
    (sql) => removals.erasure!(sql, subject),
    async (locker, oneWaits) => {
      await locker`select from bulwark.audit_logs where id = ${subject.ids[4]!} for update`;
      await oneWaits();
      await holds.organization!(admin, { ...subject, organization: crypto.randomUUID() });
    },
  );
  assert.equal(outcome, null);
  assert.equal(await payloads(subject.ids), 0);
});

Deno.test("AUD-H05: a removal that could not see a new hold is refused", async () => {
  const subject = await oldEntries(1);
  for (const isolation of ["repeatable read", "serializable"]) {
    for (const remove of Object.values(removals)) {
      const removing = admin.begin(`isolation level ${isolation}`, async (sql) => {
        await sql`select 1`;
        await remove(sql as unknown as Sql, subject);
      });
      assert.equal(
        await removing.then(() => null, codeOf),
        "AUDIT_REMOVAL_NEEDS_READ_COMMITTED",
      );
    }
  }
});

Deno.test("AUD-H06: a hold placed and committed while 40,000 entries are erased is not ignored", async () => {
  const subject = await oldEntries(40_000);
  const erasing = admin`
    select * from bulwark.erase_subject(${subject.user}, 'asked for', max_entries => 50000,
      max_seconds => 60)
  `.then(() => null, codeOf);
  await new Promise((resolve) => setTimeout(resolve, 100));
  await holds.person!(admin, subject);
  // Whichever came first: once the hold is placed, nothing more is removed.
  const there = await payloads(subject.ids);
  const outcome = await erasing;
  assert.equal(await payloads(subject.ids), there);
  assert.ok(there === 40_000 || outcome === null && there === 0, `${outcome} ${there}`);
  await admin`update bulwark.audit_legal_holds set released_at = now() where released_at is null`;
});
