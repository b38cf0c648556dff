/**
 * The audit log with parallel connections: no entry is skipped or sealed twice, writers do not
 * wait, and changes by a superuser are found.
 */
import assert from "node:assert/strict";
import postgres, { type Sql } from "postgres";
import { connect, service } from "../support.ts";
import { seal, withTable } from "./tables.ts";

const clients = 30;
const isolations = ["read committed", "repeatable read", "serializable"];

/** Connections as the superuser, who can switch triggers off. */
function superuser(max = 1): Sql {
  const url = Deno.env.get("BULWARK_TEST_ADMIN_DB_URL");
  if (!url) throw new Error("BULWARK_TEST_ADMIN_DB_URL is not set: run this through npm test");
  return postgres(url, { max, onnotice: () => {} });
}

/** The number of entries of a table, and how many have their leaf in their seal exactly once. */
async function sealed(sql: Sql, table: string): Promise<{ entries: number; sealed: number }> {
  const [row] = await sql`
    with kept as (
      select substring(g.leaves from i * 32 + 1 for 32) as leaf, count(*) as times
      from bulwark_private.audit_groups g
      cross join lateral generate_series(0, g.entry_count::int - 1) as i
      group by 1
    )
    select count(*)::int as entries, count(*) filter (where k.times = 1)::int as sealed
    from bulwark.audit_logs e
    join bulwark_private.audit_leaves l on l.id = e.id
    left join kept k on k.leaf = l.leaf
    where e.resource_type = ${`public.${table}`}
  `;
  return { entries: row?.entries, sealed: row?.sealed };
}

async function verdict(sql: Sql, organization: string | null = null) {
  const [row] = await sql`
    select intact, complete, problem, entry, seal from bulwark.verify_audit_log(
      ${organization}::uuid, max_seconds => 60)
  `;
  return row;
}

Deno.test("AUD-P01: 30 clients that commit, roll back and idle leave nothing unsealed or sealed twice", async () => {
  await withTable({}, async (sql, table, organizations) => {
    let committed = 0;
    const isOver = () => committed > 600;
    const work = async (client: number) => {
      for (let turn = 0; !isOver(); turn++) {
        const isolation = isolations[client % 3] ?? "";
        const rows = 1 + (turn % 4);
        const back = turn % 5 === 4;
        try {
          await sql.begin(`isolation level ${isolation}`, async (t) => {
            for (let row = 0; row < rows; row++) {
              await t.unsafe(
                `insert into public.${table} (organization_id, n) values ($1, $2)`,
                [organizations[row % 2] ?? null, client],
              );
            }
            await t.savepoint(async (s) => {
              await s.unsafe(`insert into public.${table} (n) values (-1)`);
              throw new Error("rolled back");
            }).catch(() => {});
            if (client % 10 === 0) await t`select pg_sleep(${0.1 + (turn % 3) * 0.3})`;
            if (back) throw new Error("rolled back");
          });
          committed += rows;
        } catch (thrown) {
          assert.match(String(thrown), /rolled back/);
        }
      }
    };
    const sealing = async () => {
      while (!isOver()) {
        await seal(sql);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    await Promise.all([...Array(clients).keys()].map(work).concat(sealing()));
    await seal(sql);
    assert.deepEqual(await sealed(sql, table), { entries: committed, sealed: committed });
    assert.equal((await verdict(sql))?.intact, true);
    for (const organization of organizations) {
      assert.equal((await verdict(sql, organization))?.intact, true);
    }
  });
});

Deno.test("AUD-P02: a transaction that idles holds up nobody's seal, and its own entries come later", async () => {
  await withTable({}, async (sql, table, [organization = ""]) => {
    const insert = (t: Sql, n: number) =>
      t.unsafe(`insert into public.${table} (organization_id, n) values ($1, $2)`, [
        organization,
        n,
      ]);
    await sql.begin(async (idle) => {
      await insert(idle as unknown as Sql, 1);
      for (let n = 2; n < 12; n++) {
        await insert(sql, n);
        const start = Date.now();
        await seal(sql);
        assert.ok(Date.now() - start < 10_000);
        assert.deepEqual(await sealed(sql, table), { entries: n - 1, sealed: n - 1 });
      }
    });
    await seal(sql);
    assert.deepEqual(await sealed(sql, table), { entries: 11, sealed: 11 });
    assert.equal((await verdict(sql, organization))?.intact, true);
  });
});

Deno.test("AUD-P03: transactions that touch two organizations in either order do not deadlock", async () => {
  await withTable({}, async (sql, table, organizations) => {
    const both = async (order: string[]) => {
      for (let turn = 0; turn < 50; turn++) {
        await sql.begin(async (t) => {
          for (const organization of order) {
            await t.unsafe(`insert into public.${table} (organization_id) values ($1)`, [
              organization,
            ]);
          }
        });
      }
    };
    await Promise.all([both(organizations), both(organizations.toReversed()), seal(sql)]);
    await seal(sql);
    assert.deepEqual(await sealed(sql, table), { entries: 200, sealed: 200 });
  });
});

Deno.test("AUD-P04: twenty sealers at once make one chain", async () => {
  await withTable({ bulk: true }, async (sql, table) => {
    await Promise.all(
      [...Array(20).keys()].flatMap((n) => [
        sql.unsafe(
          `insert into public.${table} (n) select ${n} from generate_series(1, 50)`,
        ),
        seal(sql),
      ]),
    );
    await seal(sql);
    assert.deepEqual(await sealed(sql, table), { entries: 1000, sealed: 1000 });
    const [broken] = await sql`
      select count(*)::int as n from bulwark_private.audit_seals s
      left join bulwark_private.audit_seals p on p.number = s.number - 1
      where s.number > 1 and s.previous_hash is distinct from p.hash
    `;
    assert.equal(broken?.n, 0);
  });
});

Deno.test("AUD-P33: a transaction larger than a seal is split, and sealers that die or race lose nothing", async () => {
  await withTable({ bulk: true }, async (sql, table, [organization]) => {
    const before = await sql`select value from bulwark.settings where name = 'audit.seal_entries'`;
    await sql`update bulwark.settings set value = '150' where name = 'audit.seal_entries'`;
    try {
      const rows = (count: number) =>
        sql.unsafe(
          `insert into public.${table} (organization_id, n) select $1, i from generate_series(1, ${count}) i`,
          [organization!],
        );
      const reader = sql.begin("isolation level repeatable read", async (t) => {
        for (let turn = 0; turn < 5; turn++) {
          assert.equal((await verdict(t as unknown as Sql, organization!))?.intact, true);
        }
      });
      await Promise.all([
        rows(2000),
        ...[...Array(20).keys()].map(() => rows(10)),
        ...[...Array(10).keys()].map(() => seal(sql)),
        reader,
        // One part, or a few, and then the sealer dies.
        ...[...Array(5).keys()].map(() =>
          assert.rejects(
            sql.begin(async (t) => {
              await t`select bulwark.seal_audit_log()`;
              throw new Error("died");
            }),
            /died/,
          )
        ),
      ]);
      await seal(sql);
      assert.deepEqual(await sealed(sql, table), { entries: 2200, sealed: 2200 });
      for (const whose of [null, organization!]) {
        assert.deepEqual(await verdict(sql, whose).then((row) => [row?.intact, row?.complete]), [
          true,
          true,
        ]);
      }
      const [parts] = await sql`
        select max(entries)::int as most, count(*) filter (where open)::int as open
        from (
          select (s.through) is not null as open,
            (select sum(entry_count) from bulwark_private.audit_groups g where g.seal = s.number) as entries
          from bulwark_private.audit_seals s order by s.number desc limit 15
        ) s
      `;
      assert.ok(parts?.most <= 150 && parts?.open >= 1, JSON.stringify(parts));
    } finally {
      await sql`
        update bulwark.settings set value = ${before[0]!.value} where name = 'audit.seal_entries'
      `;
    }
  });
});

Deno.test("AUD-P34: the times of verification, search and export work through the Data API", async () => {
  const range = { since: new Date(Date.now() - 60_000).toJSON(), until: new Date().toJSON() };
  for (const name of ["verify_audit_log", "search_audit_logs", "export_audit_log"] as const) {
    const { error } = await service().rpc(name, range);
    assert.equal(error, null, name);
    const { error: backwards } = await service().rpc(name, {
      since: range.until,
      until: range.since,
    });
    assert.equal(backwards?.details, "AUDIT_INVALID_RANGE", name);
  }
});

Deno.test("AUD-P05: sealing refuses a transaction that has written, and any but READ COMMITTED", async () => {
  const sql = connect(1);
  for (const isolation of ["repeatable read", "serializable"]) {
    await assert.rejects(
      sql.begin(`isolation level ${isolation}`, (t) => t`select bulwark.seal_audit_log()`),
      { detail: "AUDIT_SEAL_NEEDS_READ_COMMITTED" },
    );
  }
  await assert.rejects(
    sql.begin(async (t) => {
      await t`select pg_current_xact_id()`;
      await t`select bulwark.seal_audit_log()`;
    }),
    { detail: "AUDIT_SEAL_NEEDS_OWN_TRANSACTION" },
  );
  await sql.end();
});

Deno.test("AUD-P06: session_replication_role does not keep a change out of the log", async () => {
  await withTable({}, async (sql, table) => {
    const admin = superuser();
    await admin.begin(async (t) => {
      await t`set local session_replication_role = replica`;
      await t.unsafe(`insert into public.${table} (n) values (1)`);
      await t.unsafe(`update public.${table} set n = 2`);
      await t.unsafe(`delete from public.${table}`);
      await assert.rejects(
        t.savepoint((s) => s`delete from bulwark.audit_logs`),
        { detail: "AUDIT_LOG_IS_APPEND_ONLY" },
      );
    });
    await admin.end();
    const [row] = await sql`
      select count(*)::int as n from bulwark.audit_logs where resource_type = ${`public.${table}`}
    `;
    assert.equal(row?.n, 3);
  });
});

Deno.test("AUD-P07: a trigger switched off, a change made, and switched on again leaves a trace", async () => {
  await withTable({}, async (sql, table) => {
    await sql.begin(async (t) => {
      await t.unsafe(`alter table public.${table} disable trigger bulwark_audit_update`);
      await t.unsafe(`insert into public.${table} (n) values (1)`);
      await t.unsafe(`alter table public.${table} enable always trigger bulwark_audit_update`);
    });
    await seal(sql);
    const [row] = await sql`
      select count(*)::int as n from bulwark.audit_logs
      where event_type = 'security.suspicious_activity' and action = 'watched_object_changed'
        and resource_type = ${`public.${table}`}
    `;
    assert.equal(row?.n, 1);
  });
});

Deno.test("AUD-P32: a lock on the log blocks no sign-in: a gap is recorded", async () => {
  const [holder, auth] = [superuser(), superuser()];
  try {
    await holder.begin(async (lock) => {
      await lock`lock table bulwark.audit_logs in access exclusive mode`;
      await auth.begin(async (t) => {
        const user = crypto.randomUUID();
        await t`insert into auth.users (id, email) values (${user}, ${`${user}@lock.test`})`;
        const [row] =
          await t`select source, reason from bulwark_private.audit_gaps order by id desc limit 1`;
        assert.deepEqual({ ...row }, { source: "auth.users insert", reason: "55P03" });
        throw new Error("rolled back");
      }).catch((thrown) => assert.match(String(thrown), /rolled back/));
    });
  } finally {
    await Promise.all([holder.end(), auth.end()]);
  }
});

const tampering: Record<string, { statement: (id: string) => string; problem: string }> = {
  "an altered payload": {
    statement: (id) => `update bulwark.audit_logs set after = '{}' where id = '${id}'`,
    problem: "entry_altered",
  },
  "a back-dated entry": {
    statement: (id) =>
      `update bulwark.audit_logs set occurred_at = occurred_at - interval '1 day' where id = '${id}'`,
    problem: "entry_altered",
  },
  "a removed entry": {
    statement: (id) => `delete from bulwark.audit_logs where id = '${id}'`,
    problem: "entry_missing",
  },
  "an entry slipped in": {
    statement: (id) =>
      `alter table bulwark.audit_logs disable trigger audit_logs_stamp;
       insert into bulwark.audit_logs select (jsonb_populate_record(e,
         jsonb_build_object('id', gen_random_uuid()))).* from bulwark.audit_logs e where id = '${id}'`,
    problem: "entry_inserted",
  },
  "a payload stripped without a record": {
    statement: (id) =>
      `update bulwark.audit_logs e set commitment = c.payload_commitment, salt = null, after = null,
         removed_by = gen_random_uuid()
       from bulwark_private.audit_commitments c where e.id = '${id}' and c.id = e.id`,
    problem: "removal_without_record",
  },
  "a dropped seal": {
    statement: () =>
      `alter table bulwark_private.audit_seals disable trigger audit_seals_refuse_change;
       delete from bulwark_private.audit_seals where number = (select max(number) - 1 from bulwark_private.audit_seals)`,
    problem: "seal_missing",
  },
};

for (const [name, { statement, problem }] of Object.entries(tampering)) {
  Deno.test(`AUD-P08: ${name} is found`, async () => {
    await withTable({}, async (sql, table, [organization = ""]) => {
      for (let n = 0; n < 3; n++) {
        await sql.unsafe(`insert into public.${table} (organization_id, n) values ($1, $2)`, [
          organization,
          n,
        ]);
        await seal(sql);
      }
      const [target] = await sql`
        select id from bulwark.audit_logs where organization_id = ${organization} order by id limit 1
      `;
      const admin = superuser();
      await admin.begin(async (t) => {
        await t`alter table bulwark.audit_logs disable trigger audit_logs_refuse_change`;
        await t.unsafe(statement(target?.id));
        const found = await verdict(t as unknown as Sql, organization);
        assert.equal(found?.problem, problem);
        if (problem === "entry_altered") assert.equal(found?.entry, target?.id);
        throw new Error("rolled back");
      }).catch((thrown) => assert.match(String(thrown), /rolled back/));
      await admin.end();
      assert.equal((await verdict(sql, organization))?.problem, null);
    });
  });
}

Deno.test("AUD-P09: removing payloads after they were sealed leaves every proof valid", async () => {
  await withTable({}, async (sql, table, [organization = ""]) => {
    const user = crypto.randomUUID();
    for (let n = 0; n < 3; n++) {
      await sql.begin(async (t) => {
        const claims = JSON.stringify({ sub: user });
        await t`select set_config('request.jwt.claims', ${claims}, true)`;
        await t.unsafe(`insert into public.${table} (organization_id, n) values ($1, $2)`, [
          organization,
          n,
        ]);
      });
      await seal(sql);
    }
    const [erased] =
      await sql`select removed as n from bulwark.erase_subject(${user}, 'asked for')`;
    assert.equal(erased?.n, 3);
    await seal(sql);
    assert.deepEqual(await sealed(sql, table), { entries: 3, sealed: 3 });
    const found = await verdict(sql, organization);
    assert.deepEqual([found?.intact, found?.complete], [true, true]);
  });
});
