/**
 * Instructions of statements, where clocks say little: on a busy machine a time swings by a third,
 * an instruction count by a hundredth. A copy of the benchmark's database is served under callgrind
 * (Debian: valgrind), and each statement is counted there.
 */
import { join } from "node:path";
import { type Cluster, startCluster } from "../stack/cluster.ts";
import { exists } from "../stack/binaries.ts";
import { connect } from "../stack/connection.ts";
import { Failure } from "../stack/failure.ts";
import { asDatabaseUser, giveToDatabaseUser } from "../stack/os_user.ts";
import { makeScratchFolder } from "../stack/scratch.ts";
import type { BenchContext } from "./harness.ts";

/** A statement to count, and what to run before it on each connection. */
export interface CountedStatement {
  text: string;
  /** Statements that prepare the connection: its role, its claims. */
  before?: string[];
  /** The role that logs in; `postgres` by default. */
  role?: "postgres" | "authenticator" | "supabase_admin";
  /** How often it runs; 100 by default. More for rare costs, fewer for long statements. */
  times?: number;
}

/** Counts the instructions of one execution, in the server's process and outside of the kernel. */
export type InstructionCounter = (statement: CountedStatement) => Promise<number>;

/** Whether instructions can be counted on this machine. */
export const canCount = (): boolean => exists("/usr/bin/valgrind");

/** Statements that make a connection of `authenticator` the request of a signed-in user. */
export const claimsOf = (userId: string): string[] => {
  const claims = JSON.stringify({ sub: userId, session_id: userId, role: "authenticated" });
  return [`select set_config('request.jwt.claims', '${claims}', false)`, "set role authenticated"];
};

/**
 * Prepares a counter for the database as it is at the first count; `onStop` of the context ends it.
 * Each execution is a transaction of its own whose commit does not wait for the disk. A count is
 * the difference between two connections of which one runs the statement so many times more, so
 * connecting, planning and filling caches are not in it. Each statement is counted once: its counts
 * differ by less than a thousandth.
 */
export function instructionCounter(context: BenchContext): InstructionCounter {
  let served: Promise<Served> | undefined;
  const counts = new Map<string, Promise<number>>();
  return async (statement) => {
    const key = JSON.stringify(statement);
    const counted = counts.get(key) ?? counting(statement);
    counts.set(key, counted);
    return await counted;
  };
  async function counting({ text, before = [], role = "postgres", times = 100 }: CountedStatement) {
    const { cluster, password, counts } = await (served ??= serveUnderCallgrind(context));
    const run = async (count: number) => {
      const pool = connect(cluster.url(role, password));
      try {
        const [row] = await pool`select pg_backend_pid() as pid`;
        for (const statement of before) await pool.unsafe(statement);
        for (let i = 0; i < count; i++) await pool.unsafe(text, [], { prepare: true });
        return join(counts, String(row?.pid));
      } finally {
        await pool.end();
      }
    };
    // Once unseen, as the first connection fills what all share. Then ten executions are common to
    // both counts: only after five does Postgres settle on a generic plan.
    await total(await run(10));
    const short = await total(await run(10));
    const long = await total(await run(10 + times));
    return (long - short) / times;
  }
}

interface Served {
  cluster: Cluster;
  password: string;
  counts: string;
}

async function serveUnderCallgrind(context: BenchContext): Promise<Served> {
  const { admin, installation, onStop, password } = context;
  const scratch = await makeScratchFolder("callgrind");
  onStop(() => scratch.remove());
  const user = await asDatabaseUser(join(installation.bin, "postgres"));
  const [folder, bin, counts] = ["database", "bin", "counts"].map((name) =>
    join(scratch.path, name)
  ) as [string, string, string];
  for (const path of [folder, bin, counts]) await Deno.mkdir(path, { mode: 0o755 });
  await Deno.chmod(folder, 0o700);
  await giveToDatabaseUser([folder, counts], user);

  // An online backup, so the benchmark's own server goes on.
  const backup = await admin.reserve();
  const [from] =
    await backup`select setting as folder from pg_settings where name = 'data_directory'`;
  await backup`select pg_backup_start('instructions', fast => true)`;
  await copy(`${from?.folder}/.`, folder);
  const [label] = await backup`select labelfile from pg_backup_stop(wait_for_archive => false)`;
  backup.release();
  await copy(`${from?.folder}/pg_wal/.`, `${folder}/pg_wal`);
  await Deno.remove(join(folder, "postmaster.pid"));
  await Deno.writeTextFile(join(folder, "backup_label"), label?.labelfile);
  await giveToDatabaseUser([join(folder, "backup_label")], user);

  // Backends are forks of the server, and callgrind writes a file for each process as it ends.
  await Deno.writeTextFile(
    join(bin, "postgres"),
    `#!/bin/sh
exec /usr/bin/valgrind --quiet --tool=callgrind --callgrind-out-file='${counts}/%p' \\
  '${join(installation.bin, "postgres")}' "$@"
`,
    { mode: 0o755 },
  );
  const cluster = await startCluster({
    installation: { ...installation, bin },
    folder,
    log: join(scratch.path, "postgres.log"),
    password,
    settings: {
      autovacuum: "off",
      fsync: "off",
      jit: "off",
      shared_buffers: "256MB",
      synchronous_commit: "off",
    },
  });
  onStop(() => cluster.stop());
  return { cluster, password, counts };
}

async function copy(from: string, to: string): Promise<void> {
  const { success, stderr } = await new Deno.Command("cp", { args: ["-a", from, to] }).output();
  if (!success) throw new Failure("COPY", new TextDecoder().decode(stderr));
}

/** The instructions of a process, once it has ended and its file is whole. */
async function total(file: string): Promise<number> {
  for (let waited = 0; waited < 60_000; waited += 50) {
    const count = exists(file) && /^totals: (\d+)$/m.exec(await Deno.readTextFile(file))?.[1];
    if (count) return Number(count);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Failure("NO_COUNT", `callgrind wrote no total to ${file}`);
}
