/**
 * The cost of the audit log for writers, compared with no log, with a trigger that only appends,
 * and with supa_audit: `npm run bench -- audit [--supa-audit <its SQL file>]`. Measured with
 * pgbench on Debian's PostgreSQL 15, with durable settings and a running sealer.
 */
import type { Sql } from "../stack/connection.ts";
import { Failure } from "../stack/failure.ts";
import { auditedTables } from "./audit/tables.ts";
import { debian, pgbenchOn, whileIdling } from "./pgbench.ts";
import { whileSealing } from "./sealing.ts";
import { bench, type BenchPeer, type BenchRow, milliseconds } from "./harness.ts";

const writersCost =
  "A statement of an application, its commit and its table take half of the time already.";
const stampCost =
  "The floor writes a row with the same columns and indexes. Ours also finds out the actor, the " +
  "session and the request, and gives the entry its place in the log, and the sealer works beside it.";
const leafCost =
  "Half of it is the bytes of an entry, which SQL joins value by value, and their two hashes " +
  "(14 of 25 µs); the rest is reading in order, sorting by organization, and comparing times.";

const insert = (table: string, organizations: number) =>
  `\\set organization random(1, ${organizations})
   insert into bench.${table} (organization_id, customer, amount, status)
   values (md5(:organization::text)::uuid, 'customer ' || :organization, :organization, 'open');`;
const update = (table: string) =>
  `\\set id random(1, 10000)
   update bench.${table} set status = 'paid at ' || clock_timestamp() where id = :id;`;
const bulk = (table: string) =>
  `insert into bench.${table} (organization_id, customer, amount, status)
   select md5((i % 1000)::text)::uuid, 'customer ' || i, i, 'open' from generate_series(1, 10000) i`;

export default bench({
  installation: debian,
  settings: { fsync: "on", synchronous_commit: "on", full_page_writes: "on", autovacuum: "on" },
  options: ["supa-audit"],
  async setup(context) {
    const { postgres, log } = context;
    const names = await auditedTables(context);
    const pgbench = pgbenchOn(context);
    const sealing = <T>(task: () => Promise<T>) => whileSealing(postgres, task);
    const peers = (run: (table: string) => () => Promise<number>): BenchPeer[] =>
      Object.entries(names).map(([table, name]) => ({
        name,
        run: run(table),
        ...table === "floor" && { aim: { ratio: 1.1, cause: stampCost } },
      }));
    const transactions = (
      name: string,
      clients: number,
      script: (table: string) => string,
      around: <T>(table: string, task: () => Promise<T>) => Promise<T> = (_, task) => task(),
    ): BenchRow => {
      const run = (table: string) => () => around(table, () => pgbench(clients, script(table)));
      return {
        name,
        unit: "tx/s",
        better: "higher",
        ours: () => sealing(run("ours")),
        peers: peers(run),
      };
    };
    const statements = (name: string, table: string): BenchRow => ({
      name,
      unit: "ms",
      better: "lower",
      ours: () => milliseconds(() => postgres.unsafe(bulk(table)), 3),
      peers: peers((peer) => () => milliseconds(() => postgres.unsafe(bulk(peer)), 3)),
    });
    const alone = (
      name: string,
      unit: string,
      better: BenchRow["better"],
      ours: BenchRow["ours"],
      aim?: BenchRow["aim"],
    ): BenchRow => ({ name, unit, better, ours, peers: [], ...aim && { aim } });
    const many = (table: string) => insert(table, 1000);
    // Where the disk is not what is measured.
    const unwaited = (name: string, organizations: number): BenchRow => {
      const run = (table: string) => () =>
        pgbench(16, insert(table, organizations), { synchronous_commit: "off" });
      const compared = peers(run).map((peer) =>
        peer.name === names["supa"] ? { ...peer, aim: { ratio: 2.5, cause: writersCost } } : peer
      );
      return {
        name,
        unit: "tx/s",
        better: "higher",
        ours: () => sealing(run("ours")),
        peers: compared,
      };
    };

    log("about a minute a round");
    return [
      transactions("insert, 1 client, 1,000 organizations", 1, many),
      transactions("insert, 4 clients, 1,000 organizations", 4, many),
      transactions("insert, 16 clients, 1,000 organizations", 16, many),
      transactions("insert, 16 clients, one organization", 16, (table) => insert(table, 1)),
      unwaited("insert, 16 clients, 1,000 organizations, commits not waited for", 1000),
      unwaited("insert, 16 clients, one organization, commits not waited for", 1),
      transactions("update, 4 clients", 4, update),
      transactions(
        "insert, 4 clients, while a transaction idles 200 ms at a time",
        4,
        many,
        (table, task) => whileIdling(context, table, task),
      ),
      statements("10,000 rows in one statement, row triggers", "ours"),
      statements("10,000 rows in one statement, statement triggers", "ours_bulk"),
      alone(
        "longest wait for a seal, 16 clients",
        "ms",
        "lower",
        () => longestWait(postgres, () => pgbench(16, many("ours"))),
      ),
      alone(
        "sealing of 100,000 entries",
        "entries/s",
        "higher",
        () => sealingOf(postgres, 100_000),
        { value: 100_000, cause: leafCost },
      ),
      alone("verification with trees", "entries/s", "higher", () => verification(postgres), {
        value: 100_000,
        cause: leafCost,
      }),
      alone("an entry with indexes and seal", "bytes", "lower", () => entrySize(postgres)),
      alone("a chart of a million entries, all its pages", "ms", "lower", async () => {
        await makeMillion(postgres);
        return await milliseconds(() => chart(postgres));
      }),
      alone("a poll of a follower with nothing new", "ms", "lower", () => poll(postgres)),
    ];
  },
});

/** The longest time between an entry and its seal while a task writes, in milliseconds. */
async function longestWait(postgres: Sql, task: () => Promise<unknown>): Promise<number> {
  // The entries of the rows above, which nobody has sealed.
  await sealAll(postgres);
  const [start] = await postgres`select max(number) as seal from bulwark_private.audit_seals`;
  await whileSealing(postgres, task);
  await postgres`select bulwark.seal_audit_log()`;
  const [row] = await postgres`
    select max(extract(epoch from s.sealed_at - e.occurred_at) * 1000)::float as wait
    from bulwark_private.audit_seals s
    join bulwark_private.audit_seals p on p.number = s.number - 1
    join bulwark.audit_logs e
      on e.timeline = s.timeline and e.xid >= pg_snapshot_xmax(p.snapshot) and e.xid < pg_snapshot_xmin(s.snapshot)
    where s.number > ${start?.seal}
  `;
  return row?.wait;
}

/** Entries sealed a second, out of so many that wait. */
async function sealingOf(postgres: Sql, entries: number): Promise<number> {
  await postgres`select bulwark.seal_audit_log()`;
  await postgres`
    insert into bench.ours_bulk (organization_id, customer, amount, status)
    select md5((i % 100)::text)::uuid, 'customer ' || i, i, 'open'
    from generate_series(1, ${entries}) i
  `;
  return entries / await milliseconds(() => sealAll(postgres)) * 1000;
}

/** Seals until nothing is left: one run seals for three seconds at most. */
async function sealAll(postgres: Sql): Promise<void> {
  let number: unknown;
  do {
    const [row] = await postgres`select bulwark.seal_audit_log() as number`;
    number = row?.number;
  } while (number !== null);
}

/** Entries verified a second, over up to two million sealed entries. */
async function verification(postgres: Sql): Promise<number> {
  const start = performance.now();
  const [row] = await postgres`
    select intact, complete, entries_checked::float as entries
    from bulwark.verify_audit_log(max_entries => 2000000, max_seconds => 600)
  `;
  if (!row?.intact || !row?.complete) throw new Failure("BENCH", "the log does not verify");
  return row.entries / (performance.now() - start) * 1000;
}

async function entrySize(postgres: Sql): Promise<number> {
  const [row] = await postgres`
    select (
      (select sum(pg_total_relation_size(t.relid)) from pg_partition_tree('bulwark.audit_logs') t)
        + pg_total_relation_size('bulwark_private.audit_groups')
        + pg_total_relation_size('bulwark_private.audit_seals')
    )::float / count(*) as bytes
    from bulwark.audit_logs
  `;
  return row?.bytes;
}

/** An organization with a million entries, made once. */
async function makeMillion(postgres: Sql): Promise<void> {
  const [row] = await postgres`
    select count(*)::integer as entries from bulwark.audit_logs
    where organization_id = md5('a million')::uuid
  `;
  for (let made: number = row?.entries; made < 1_000_000; made += 100_000) {
    await postgres`
      insert into bench.ours_bulk (organization_id, customer, amount, status)
      select md5('a million')::uuid, 'customer ' || i, i, 'open' from generate_series(1, 100000) i
    `;
  }
}

async function chart(postgres: Sql): Promise<void> {
  let counted = 0;
  for (let before: string | null = "ffffffff-ffff-ffff-ffff-ffffffffffff"; before !== null;) {
    const pages: { next: string | null; counted: number | null }[] = await postgres`
      select (h ->> 'next')::uuid as next, (
        select sum((b ->> 'count')::integer)::float from jsonb_array_elements(h -> 'buckets') b
      ) as counted
      from bulwark.audit_histogram(
        md5('a million')::uuid, now() - interval '1 day', bucket => '15 minutes',
        group_by => 'event_type', before => ${before}::uuid
      ) h
    `;
    counted += pages[0]?.counted ?? 0;
    before = pages[0]?.next ?? null;
  }
  if (counted !== 1_000_000) throw new Failure("BENCH", `the chart has ${counted} entries`);
}

async function poll(postgres: Sql): Promise<number> {
  const [row] = await postgres`
    select bulwark.tail_audit_log(md5('a million')::uuid) ->> 'cursor' as cursor
  `;
  await pause(6000);
  const [now] = await postgres`
    select bulwark.tail_audit_log(md5('a million')::uuid, ${row?.["cursor"]}) ->> 'cursor' as cursor
  `;
  return await milliseconds(
    () => postgres`select bulwark.tail_audit_log(md5('a million')::uuid, ${now?.["cursor"]})`,
    100,
  );
}

function pause(duration: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, duration));
}
