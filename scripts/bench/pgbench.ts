/** Writers of a benchmark: pgbench on Debian's PostgreSQL 15. */
import { join } from "node:path";
import { debianPostgres, exists, type PostgresInstallation } from "../stack/binaries.ts";
import { Failure } from "../stack/failure.ts";
import type { BenchContext } from "./harness.ts";

const seconds = 3;

/** The Postgres of Debian, which has pgbench. */
export function debian(): PostgresInstallation {
  const found = debianPostgres();
  if (found && exists(join(found.bin, "pgbench"))) return found;
  throw new Failure(
    "NO_PGBENCH",
    "Cannot measure the audit log: PostgreSQL 15 with pgbench is not installed (Debian: postgresql-15)",
  );
}

/** Runs a script with so many clients under Postgres settings; returns transactions a second. */
export type Pgbench = (
  clients: number,
  script: string,
  settings?: Record<string, string>,
) => Promise<number>;

/** pgbench on the database of a benchmark. */
export function pgbenchOn({ url }: BenchContext): Pgbench {
  return async (clients, script, settings = {}) => {
    const file = await Deno.makeTempFile({ suffix: ".sql" });
    try {
      await Deno.writeTextFile(
        file,
        script.replace(/\n\s+/g, "\n").replace(/\n(?!\\|insert|update)/g, " "),
      );
      const { success, stdout, stderr } = await new Deno.Command(join(debian().bin, "pgbench"), {
        args: [
          ...["--no-vacuum", "--protocol=prepared", `--client=${clients}`, "--jobs=2"],
          ...[`--time=${seconds}`, `--file=${file}`, url("postgres")],
        ],
        env: {
          PGOPTIONS: Object.entries(settings).map(([name, value]) => `-c ${name}=${value}`).join(
            " ",
          ),
        },
      }).output();
      const rate = /tps = ([0-9.]+)/.exec(new TextDecoder().decode(stdout))?.[1];
      if (!success || !rate) {
        throw new Failure("PGBENCH", `pgbench failed: ${new TextDecoder().decode(stderr)}`);
      }
      return Number(rate);
    } finally {
      await Deno.remove(file);
    }
  };
}

/** Runs a task while transactions that have written to a table stay open for 200 ms each. */
export async function whileIdling<T>(
  { connect }: BenchContext,
  table: string,
  task: () => Promise<T>,
): Promise<T> {
  const pool = connect("postgres", { max: 1 });
  let done = false;
  const loop = async () => {
    while (!done) {
      await pool.begin(async (transaction) => {
        await transaction.unsafe(
          `insert into bench.${table} (organization_id) values (md5('1')::uuid)`,
        );
        await pause(200);
      });
    }
  };
  const idler = loop();
  try {
    return await task();
  } finally {
    done = true;
    await idler;
    await pool.end();
  }
}

function pause(duration: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, duration));
}
