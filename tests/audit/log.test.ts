/**
 * The audit log with parallel connections: no entry is skipped or sealed twice, writers do not
 * wait, and changes by a superuser are found.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import postgres, { type Sql } from "postgres";
import { connect } from "../support.ts";

const clients = 30;
const isolations = ["read committed", "repeatable read", "serializable"];

/** Connections as the superuser, who can switch triggers off. */
function superuser(max = 1): Sql {
  const url = Deno.env.get("BULWARK_TEST_ADMIN_DB_URL");
  if (!url) throw new Error("BULWARK_TEST_ADMIN_DB_URL is not set: run this through npm test");
  return postgres(url, { max, onnotice: () => {} });
}

/** An audited table for one test, dropped at the end. */
async function withTable(
  options: { bulk?: boolean },
  test: (sql: Sql, table: string, organizations: string[]) => Promise<void>,
): Promise<void> {
  const sql = connect(clients + 2);
  const table = `audited_${crypto.randomUUID().slice(0, 8)}`;
  const organizations = [crypto.randomUUID(), crypto.randomUUID()];
  try {
    await sql.unsafe(`
      create table public.${table} (
        id bigint generated always as identity primary key, organization_id uuid, n integer
      );
      select bulwark.enable_audit('public.${table}', organization_column => 'organization_id',
        bulk => ${options.bulk ?? false});
    `);
    await test(sql, table, organizations);
  } finally {
    await sql.unsafe(`
      select bulwark.disable_audit('public.${table}');
      drop table public.${table};
    `);
    await sql.end();
  }
}

async function seal(sql: Sql): Promise<void> {
  await sql`select bulwark.seal_audit_log()`;
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
    const end = Date.now() + 4000;
    let committed = 0;
    const work = async (client: number) => {
      for (let turn = 0; Date.now() < end; turn++) {
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
      while (Date.now() < end) {
        await seal(sql);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    await Promise.all([...Array(clients).keys()].map(work).concat(sealing()));
    await seal(sql);
    assert.ok(committed > 200, `only ${committed} rows in 4 s`);
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
        assert.ok(Date.now() - start < 1500);
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
      where event_type = 'security.suspicious_activity' and action = 'guard_changed'
        and resource_type = ${`public.${table}`}
    `;
    assert.equal(row?.n, 1);
  });
});

Deno.test("AUD-P12: a lock on the log blocks no sign-in: a gap is recorded", async () => {
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

// An implementation of RFC 9162 and of the encoding in docs/audit.md that shares no code with the
// SQL.
const hash = (...parts: Uint8Array[]): Uint8Array =>
  parts.reduce((sum, part) => sum.update(part), createHash("sha256")).digest();
const node = (left: Uint8Array, right: Uint8Array): Uint8Array =>
  hash(Buffer.from([1]), left, right);
const base64 = (text: string): Uint8Array => Buffer.from(text, "base64");

function follow(leaf: Uint8Array, index: bigint, size: bigint, path: string[]): string {
  let [first, last] = [index, size - 1n];
  let sum: Uint8Array = leaf;
  for (const step of path.map(base64)) {
    assert.notEqual(last, 0n);
    if (first % 2n === 1n || first === last) {
      sum = node(step, sum);
      while (first % 2n === 0n && first !== 0n) [first, last] = [first >> 1n, last >> 1n];
    } else {
      sum = node(sum, step);
    }
    [first, last] = [first >> 1n, last >> 1n];
  }
  assert.equal(last, 0n);
  return Buffer.from(sum).toString("base64");
}

/** The roots that a consistency proof leads to: [old root, new root], by RFC 9162 2.1.4.2. */
function consistent(from: bigint, to: bigint, fromRoot: string, path: string[]): string[] {
  const powerOfTwo = (from & (from - 1n)) === 0n;
  const [known = Buffer.alloc(0), ...steps] = (powerOfTwo ? [fromRoot, ...path] : path).map(base64);
  let [first, last] = [from - 1n, to - 1n];
  while (first % 2n === 1n) [first, last] = [first >> 1n, last >> 1n];
  let [old, now]: [Uint8Array, Uint8Array] = [known, known];
  for (const step of steps) {
    assert.notEqual(last, 0n);
    if (first % 2n === 1n || first === last) {
      [old, now] = [node(step, old), node(step, now)];
      while (first % 2n === 0n && first !== 0n) [first, last] = [first >> 1n, last >> 1n];
    } else {
      now = node(now, step);
    }
    [first, last] = [first >> 1n, last >> 1n];
  }
  assert.equal(last, 0n);
  return [old, now].map((sum) => Buffer.from(sum).toString("base64"));
}

const uuid = (text: string) => Buffer.from(text.replaceAll("-", ""), "hex");
const organizationBytes = (text: string | null) =>
  text === null ? Buffer.from([0]) : Buffer.concat([Buffer.from([1]), uuid(text)]);
const int = (value: bigint | number | string, bytes: number) => {
  const buffer = Buffer.alloc(8);
  buffer.writeBigInt64BE(BigInt(value));
  return buffer.subarray(8 - bytes);
};

Deno.test("AUD-P10: an inclusion proof leads from the entry's own bytes to the tree of seals", async () => {
  await withTable({}, async (sql, table, organizations) => {
    for (let n = 0; n < 7; n++) {
      await sql.unsafe(
        `insert into public.${table} (organization_id, n) select $1::uuid, i from generate_series(1, ${n}) i`,
        [organizations[n % 2] ?? null],
      );
      if (n % 2) await seal(sql);
    }
    await seal(sql);
    const entries = await sql`
      select id from bulwark.audit_logs where resource_type = ${`public.${table}`}
    `;
    assert.equal(entries.length, 21);
    for (const { id } of entries) {
      const [row] = await sql`select bulwark.audit_inclusion_proof(${id}) as proof`;
      const { entry, group, seal, ...proof } = row?.proof;
      const texts = [
        entry.source,
        entry.severity,
        entry.result,
        entry.event_type,
        entry.resource_type,
      ].map((text) => Buffer.from(text ?? ""));
      const leaf = hash(
        Buffer.from([0, 1]),
        uuid(entry.id),
        organizationBytes(entry.organization_id),
        int(entry.era, 4),
        int(entry.xid, 8),
        int(entry.occurred_at_us, 8),
        ...texts.map((text) => int(text.length, 2)),
        ...texts,
        hash(uuid(entry.salt), Buffer.from(entry.payload)),
      );
      const index = BigInt(proof.entry_index);
      assert.equal(follow(leaf, index, BigInt(group.entry_count), proof.entry_path), group.root);
      const groupHash = hash(
        Buffer.from([0, 1]),
        organizationBytes(group.organization_id),
        int(group.seal, 8),
        int(group.entry_count, 8),
        int(group.entries_before, 8),
        base64(group.previous),
        base64(group.root),
      );
      assert.equal(
        follow(groupHash, BigInt(proof.group_index), BigInt(proof.group_count), proof.group_path),
        seal.root,
      );
      const sealHash = hash(
        Buffer.from([1]),
        int(seal.number, 8),
        base64(seal.previous_hash),
        base64(seal.root),
        int(seal.era, 4),
        int(seal.sealed_at_us, 8),
        int(seal.snapshot.length, 4),
        Buffer.from(seal.snapshot),
      );
      assert.equal(Buffer.from(sealHash).toString("base64"), seal.hash);
      assert.equal(
        follow(
          hash(Buffer.from([0]), sealHash),
          BigInt(proof.tree_index),
          BigInt(proof.tree_size),
          proof.tree_path,
        ),
        proof.tree_root,
      );
    }
  });
});

Deno.test("AUD-P11: consistency proofs hold between any two sizes of the tree", async () => {
  await withTable({}, async (sql, table) => {
    for (let n = 0; n < 20; n++) {
      await sql.unsafe(`insert into public.${table} (n) values (${n})`);
      await seal(sql);
    }
    for (let from = 1; from <= 20; from++) {
      for (let to = from; to <= 20; to++) {
        const [row] = await sql`select bulwark.audit_consistency_proof(${from}, ${to}) as proof`;
        const { from_root, to_root, path } = row?.proof;
        if (from === to) assert.deepEqual([path, from_root], [[], to_root]);
        else {
          const roots = consistent(BigInt(from), BigInt(to), from_root, path);
          assert.deepEqual(roots, [from_root, to_root]);
        }
      }
    }
  });
});
