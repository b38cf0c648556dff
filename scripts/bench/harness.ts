/**
 * The export of a benchmark `scripts/bench/<name>.ts`, and how it is run.
 *
 *     export default bench({
 *       async setup({ postgres, asUser, log }) {
 *         await postgres`insert into ...`;
 *         const user = await asUser(id);
 *         return [{
 *           name: "count(*) over 1M rows",
 *           unit: "ms",
 *           better: "lower",
 *           ours: () => milliseconds(() => user`select count(*) from t`),
 *           peers: [{ name: "hand-written filter", run: () => milliseconds(...) }],
 *         }];
 *       },
 *     });
 *
 * Every round measures ours and then each peer, so that what the machine does meanwhile hits all
 * alike; ratios are taken within a round.
 */
import type { ReservedSql } from "postgres";
import type { PostgresInstallation } from "../stack/binaries.ts";
import type { Sql } from "../stack/connection.ts";

/** The tools of a benchmark: a database of its own with all migrations applied. */
export interface BenchContext {
  /** As `postgres`, the owner of what migrations make. */
  postgres: Sql;
  /** As the superuser. */
  admin: Sql;
  /** Another pool, logged in as any of the login roles. */
  connect(role: "postgres" | "authenticator" | "supabase_admin", options?: { max?: number }): Sql;
  /**
   * One connection logged in as `authenticator`, on which everything runs with the role and the
   * claims that PostgREST would set for a signed-in user.
   */
  asUser(userId: string, claims?: Record<string, unknown>): Promise<ReservedSql>;
  /** The database's URL for one of the login roles, for programs that are not postgres.js. */
  url(role: "postgres" | "authenticator" | "supabase_admin" | "supabase_auth_admin"): string;
  /** The Postgres that serves the database. */
  installation: PostgresInstallation;
  /** The password of the login roles. */
  password: string;
  /** The values of the benchmark's own options. */
  options: Record<string, string | boolean | undefined>;
  /** Ends what the benchmark started beside the database, when it is over. */
  onStop(stop: () => Promise<unknown>): void;
  /** Prints a line of progress. */
  log(message: string): void;
}

/** One quantity, measured for ours and for what it is compared with. */
export interface BenchRow {
  name: string;
  unit: string;
  better: "lower" | "higher";
  /** Measures once and returns the value in the row's unit. */
  ours(): Promise<number>;
  peers: BenchPeer[];
  /** The value to reach where nothing is compared, and where the time goes if it is not reached. */
  aim?: { value: number; cause?: string };
  /** The curve that the row is a point of, and the size that it was measured at. */
  curve?: { name: string; size: number };
}

/** Something to compare with, measured in the same rounds. */
export interface BenchPeer {
  name: string;
  run(): Promise<number>;
  /** Fewer rounds than the rest, for a peer that takes very long. At least 1. */
  rounds?: number;
  /** How many times better ours is to be, and where the time goes if it is not. */
  aim?: { ratio: number; cause?: string };
}

/** A benchmark. */
export interface Bench {
  /** Fills the database and says what is to be measured. */
  setup(context: BenchContext): Promise<BenchRow[]>;
  /** Postgres settings on top of the harness's own. */
  settings?: Record<string, string>;
  /** The Postgres to measure on; the embedded one unless a benchmark says otherwise. */
  installation?: () => PostgresInstallation;
  /** Names of options with a value that only this benchmark has. */
  options?: string[];
}

/** Types a benchmark; the identity function. */
export function bench(definition: Bench): Bench {
  return definition;
}

/** Runs a task `times` over and returns the median duration in milliseconds. */
export async function milliseconds(task: () => Promise<unknown>, times = 1): Promise<number> {
  const durations: number[] = [];
  for (let i = 0; i < times; i++) {
    const start = performance.now();
    await task();
    durations.push(performance.now() - start);
  }
  return median(durations);
}

/** Runs a task over and over, one after the other, and returns how often a second it ends. */
export async function perSecond(task: () => Promise<unknown>, duration = 1000): Promise<number> {
  const start = performance.now();
  let count = 0;
  let elapsed = 0;
  while (elapsed < duration) {
    await task();
    count++;
    elapsed = performance.now() - start;
  }
  return count / elapsed * 1000;
}

/** The middle value; of an even number, the mean of the middle two. */
export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}

/** The measurements of one row, round by round. */
export interface Measurement {
  row: BenchRow;
  ours: number[];
  peers: { name: string; values: number[]; aim?: BenchPeer["aim"] }[];
}

/** Measures every row: once to warm up, then in rounds that take ours and the peers in turn. */
export async function measure(
  rows: BenchRow[],
  rounds: number,
  log: (message: string) => void,
): Promise<Measurement[]> {
  const measurements: Measurement[] = rows.map((row) => ({
    row,
    ours: [],
    peers: row.peers.map(({ name, aim }) => ({ name, values: [], ...aim && { aim } })),
  }));
  for (const { ours, peers } of rows) {
    await ours();
    for (const peer of peers) if (!peer.rounds) await peer.run();
  }
  for (let round = 1; round <= rounds; round++) {
    log(`round ${round} of ${rounds}`);
    for (const { row, ours, peers } of measurements) {
      ours.push(await row.ours());
      for (const [index, peer] of row.peers.entries()) {
        if (round <= (peer.rounds ?? rounds)) peers[index]?.values.push(await peer.run());
      }
    }
  }
  return measurements;
}

/** How many times better ours is than a peer: the median of the ratios within each round. */
export function ratio(better: BenchRow["better"], ours: number[], peer: number[]): number {
  return median(ratios(better, ours, peer));
}

/** How many times better ours is than a peer, in each round. */
export function ratios(better: BenchRow["better"], ours: number[], peer: number[]): number[] {
  return peer.map((value, round) => {
    const own = ours[round] ?? NaN;
    return better === "lower" ? value / own : own / value;
  });
}
