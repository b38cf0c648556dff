/**
 * The log as it grows: at a thousand, a hundred thousand and a million entries (or `--entries`), what
 * an insert, a seal, verification, an export and a search cost. Every entry is written by the
 * triggers of an audited table and sealed by the sealer, and the curves are drawn by `--record`.
 * `--partitions 120` spreads the log over so
 * many partitions, of seconds instead of months.
 */
import type { Sql } from "../stack/connection.ts";
import { bench, type BenchContext, type BenchRow, median } from "./harness.ts";

const organizations = 10;
const rare = "00000000-0000-4000-8000-000000000001";
/** Entries of one transaction while the log is filled. */
const batch = 10_000;
const rounds = 5;
/** Writers pay the same, whatever the size: within 15 % of a log that has filled its first pages. */
const flat = ["1,000 rows in one statement", "100 statements of a row", "a seal of 1,000 entries"];
const flatFrom = 100_000;
const isFlat = {
  ratio: 0.85,
  cause: "The machine was busy with other work: at ten million entries the row is flat.",
};

export default bench({
  // Takes full pages into the index for searches, as on a hosted database.
  settings: { autovacuum: "on" },
  options: ["entries", "partitions"],
  async setup(context) {
    const { postgres, options, log } = context;
    const most = Number(options.entries ?? 1_000_000);
    await postgres.unsafe(`
      create schema bench;
      create table bench.orders (
        id bigint generated always as identity primary key, organization_id uuid, customer text,
        amount numeric, status text, created_at timestamptz not null default now()
      );
      select bulwark.enable_audit('bench.orders', organization_column => 'organization_id',
        bulk => true);
      create table bench.rows (like bench.orders including all);
      select bulwark.enable_audit('bench.rows', organization_column => 'organization_id');
    `);
    if (options.partitions) await cut(postgres, Number(options.partitions), most);
    // The oldest entries: a search for this actor has to pass all others.
    await postgres.begin(async (transaction) => {
      await transaction.unsafe(
        `select set_config('request.jwt.claims', '{"sub": "${rare}"}', true)`,
      );
      for (let row = 0; row < 3; row++) await insert(transaction, "rows", 1);
    });
    const found = new Map<string, Omit<BenchRow, "ours" | "peers"> & { values: number[] }>();
    const sizes = [1_000, 10_000, flatFrom, 1_000_000, 10_000_000];
    for (const size of [...sizes.filter((n) => n < most), most]) {
      await fill(postgres, size, log);
      await postgres`select bulwark_private.keep_audit_partitions()`;
      const measured = await measureAt(context);
      for (const { name, unit, better, values, aim } of measured) {
        found.set(`${name} at ${size}`, {
          name: `${name}, ${size.toLocaleString("en")} entries`,
          ...{ unit, better, values, curve: { name, size }, ...aim && { aim } },
        });
        log(`${size.toLocaleString("en")} entries: ${name} ${median(values).toFixed(2)} ${unit}`);
      }
    }
    // Measured while the log had the size; the rounds return what was found.
    return [...found.values()].map(({ values, ...row }) => {
      const small = flat.includes(row.curve!.name) && row.curve!.size > flatFrom
        ? found.get(`${row.curve!.name} at ${flatFrom}`)
        : undefined;
      const peers = small
        ? [{ name: `with ${flatFrom.toLocaleString("en")}`, run: each(small.values), aim: isFlat }]
        : [];
      return { ...row, peers, ours: each(values) };
    });
  },
});

/** Returns one value after the other, round by round. */
function each(values: number[]): () => Promise<number> {
  let round = 0;
  return () => Promise.resolve(values[round++ % values.length]!);
}

/** Replaces the month by partitions that last seconds, before the log has entries of its own. */
async function cut(postgres: Sql, partitions: number, entries: number): Promise<void> {
  // About as long as filling takes, at 10,000 entries a second.
  const seconds = Math.max(1, Math.ceil(entries / 10_000 / partitions));
  await postgres.unsafe(`
    do $$
    declare
      v_from timestamptz := clock_timestamp() + interval '2 seconds';
      v_month record;
    begin
      select p.* into v_month from bulwark_private.audit_partitions p
      where not p.is_default order by p.low limit 1;
      execute format('alter table bulwark.audit_logs detach partition %s', v_month.relation);
      execute format('alter table bulwark.audit_logs attach partition %s
        for values from (minvalue) to (%L)', v_month.relation, bulwark_private.audit_id_floor(v_from));
      for v_part in 1..${partitions} loop
        perform bulwark_private.make_audit_partition(
          'audit_logs_part_' || v_part,
          bulwark_private.audit_id_floor(v_from + (v_part - 1) * interval '${seconds} seconds'),
          case when v_part = ${partitions} then v_month.high
            else bulwark_private.audit_id_floor(v_from + v_part * interval '${seconds} seconds') end
        );
      end loop;
      perform bulwark.refresh_audit_fingerprints();
    end;
    $$;
  `);
}

async function fill(postgres: Sql, size: number, log: BenchContext["log"]): Promise<void> {
  let [{ count }] = await postgres`select count(*)::integer from bulwark.audit_logs` as [
    { count: number },
  ];
  while (count < size) {
    const rows = Math.min(batch, size - count);
    await insert(postgres, "orders", rows);
    await postgres`select bulwark.seal_audit_log()`;
    count += rows;
    if (count % 1_000_000 === 0) log(`${count.toLocaleString("en")} entries`);
  }
}

async function insert(postgres: Pick<Sql, "unsafe">, table: string, rows: number): Promise<void> {
  await postgres.unsafe(`
    insert into bench.${table} (organization_id, customer, amount, status)
    select md5((n % ${organizations})::text)::uuid, 'Customer ' || n, n, 'open'
    from generate_series(1, ${rows}) as n
  `);
}

type Measured = Omit<BenchRow, "ours" | "peers"> & { values: number[] };

async function measureAt({ postgres }: BenchContext): Promise<Measured[]> {
  const time = async (task: () => Promise<unknown>) => {
    const start = performance.now();
    await task();
    return performance.now() - start;
  };
  const repeat = async (task: () => Promise<number>) => {
    await task();
    const values: number[] = [];
    for (let round = 0; round < rounds; round++) values.push(await task());
    return values;
  };
  const lower = (
    name: string,
    unit: string,
    values: number[],
    aim?: BenchRow["aim"],
  ): Measured => ({ ...{ name, unit, values, better: "lower", ...aim && { aim } } });
  const search = (name: string, asked: string, organization = "md5('1')::uuid") =>
    repeat(() =>
      time(() => postgres.unsafe(`select bulwark.search_audit_logs(${organization}, ${asked})`))
    ).then((values) => lower(`search, ${name}`, "ms", values, { value: 200 }));
  await postgres`select set_config('request.jwt.claims', '{"role": "service_role"}', false)`;
  const [size] = await postgres`
    select (
      (select sum(pg_total_relation_size(t.relid)) from pg_partition_tree('bulwark.audit_logs') t)
        + pg_total_relation_size('bulwark_private.audit_groups')
        + pg_total_relation_size('bulwark_private.audit_seals')
    )::float / (select count(*) from bulwark.audit_logs) as bytes
  `;
  return [
    lower("an entry with indexes and seal", "bytes", [size!.bytes]),
    lower(
      "1,000 rows in one statement",
      "ms",
      await repeat(() => time(() => insert(postgres, "orders", 1000))),
    ),
    lower(
      "100 statements of a row",
      "ms",
      await repeat(() =>
        time(async () => {
          for (let row = 0; row < 100; row++) await insert(postgres, "rows", 1);
        })
      ),
    ),
    lower(
      "a seal of 1,000 entries",
      "ms",
      await repeat(async () => {
        await postgres`select bulwark.seal_audit_log()`;
        await insert(postgres, "orders", 1000);
        return await time(() => postgres`select bulwark.seal_audit_log()`);
      }),
    ),
    lower(
      "verification of the newest 100 seals",
      "ms",
      await repeat(() =>
        time(() =>
          postgres`
          select v from bulwark.verify_audit_log(
            after_seal => (
              select greatest(max(s.number) - 100, 0) from bulwark_private.audit_seals s
            ),
            max_seconds => 600
          ) v
        `
        )
      ),
    ),
    lower(
      "a proof",
      "ms",
      await repeat(() =>
        time(() =>
          postgres`
          select bulwark.audit_inclusion_proof(l.id)
          from (select l.id from bulwark.audit_logs l order by l.id limit 1) l
        `
        )
      ),
    ),
    lower(
      "a page of an export, 1,000 entries",
      "ms",
      await repeat(() =>
        time(() => postgres`select bulwark.export_audit_log(md5('1')::uuid, page_size => 1000)`)
      ),
      {
        value: 50,
        cause: "The records of a page are made as JSON with their hashes, entry by entry, in SQL.",
      },
    ),
    await search("the newest 50", "page_size => 50"),
    await search(
      "a time in the middle",
      `until => (
      select min(l.occurred_at) + (max(l.occurred_at) - min(l.occurred_at)) / 2 from (
        (select l.occurred_at from bulwark.audit_logs l order by l.id limit 1)
        union all (select l.occurred_at from bulwark.audit_logs l order by l.id desc limit 1)
      ) l)`,
    ),
    await search("a text of the newest", "search => 'Customer 1'"),
    await search("an actor who did nothing", "actor_id => md5('nobody')::uuid"),
    await search("an actor of the oldest entries", `actor_id => '${rare}'`, "null"),
  ];
}
