/**
 * The instructions that the audit log costs a writer, compared as in `npm run bench -- audit`:
 * `npm run bench -- audit_instructions --rounds 1 [--supa-audit <its SQL file>]`. A busy machine does not
 * change them, and one round is enough.
 */
import { Failure } from "../stack/failure.ts";
import { auditedTables } from "./audit/tables.ts";
import { bench, type BenchPeer, type BenchRow } from "./harness.ts";
import { canCount, instructionCounter } from "./instructions.ts";
import { debian } from "./pgbench.ts";

const inserted = { ratio: 1, cause: "The stamp runs for every row." };
const updated = {
  ratio: 1,
  cause:
    "The stamp runs for every row, and only changed columns are kept, which compares two images.",
};

/** Enough that the cost of a statement does not count, and few enough for callgrind. */
const rowsOfMany = 200;

const insertOne = (table: string) =>
  `insert into bench.${table} (organization_id, customer, amount, status)
   values ('c4ca4238-a0b9-2382-0dcc-509a6f75849b', 'customer 1', 1, 'open')`;
const updateOne = (table: string) =>
  `update bench.${table} set status = 'paid at ' || clock_timestamp() where id = 1`;
const insertMany = (table: string) =>
  `insert into bench.${table} (organization_id, customer, amount, status)
   select md5((i % 100)::text)::uuid, 'customer ' || i, i, 'open' from generate_series(1, ${rowsOfMany}) i`;
const updateMany = (table: string) =>
  `update bench.${table} set status = 'paid at ' || clock_timestamp() where id <= ${rowsOfMany}`;

export default bench({
  installation: debian,
  options: ["supa-audit"],
  async setup(context) {
    if (!canCount()) {
      throw new Failure(
        "NO_VALGRIND",
        "Cannot count instructions: install valgrind (Debian: valgrind)",
      );
    }
    const names = await auditedTables(context);
    const count = instructionCounter(context);
    const counted = (
      name: string,
      statement: (table: string) => string,
      aim: NonNullable<BenchPeer["aim"]>,
      rows = 1,
      table = "ours",
    ): BenchRow => {
      const run = (table: string) => async () =>
        await count({ text: statement(table), times: rows > 1 ? 4 : 100 }) / rows;
      const peers = Object.entries(names).filter(([table]) => table !== "plain").map(
        ([table, name]) => ({ name, run: run(table), ...table === "floor" && { aim } }),
      );
      return { name, unit: "instructions", better: "lower", ours: run(table), peers };
    };
    return [
      counted("insert, a transaction of its own", insertOne, {
        ratio: 1 / 1.2,
        cause:
          "The stamp (correlation id, timeline, actor, time of the id, secure salt) is a trigger " +
          "whose expressions are initialized in each transaction.",
      }),
      counted("update, a transaction of its own", updateOne, {
        ratio: 1 / 1.5,
        cause: "As for an insert, and only changed columns are kept, which compares two images.",
      }),
      counted(`a row of ${rowsOfMany} inserted, row triggers`, insertMany, inserted, rowsOfMany),
      counted(
        `a row of ${rowsOfMany} inserted, statement triggers`,
        insertMany,
        inserted,
        rowsOfMany,
        "ours_bulk",
      ),
      counted(`a row of ${rowsOfMany} updated, row triggers`, updateMany, updated, rowsOfMany),
      counted(
        `a row of ${rowsOfMany} updated, statement triggers`,
        updateMany,
        updated,
        rowsOfMany,
        "ours_bulk",
      ),
    ];
  },
});
