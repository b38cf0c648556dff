import type { CallerClient } from "../foundation/caller.ts";
import { unwrap } from "../foundation/errors.ts";
import type { RedisClient } from "../foundation/redis/client.ts";
import { withTimeout } from "../foundation/timeout.ts";

/** The result of a check. */
export interface Check {
  status: "ok" | "failing";
  /** How long the answer took, or how far behind the work is; null: unknown. */
  seconds: number | null;
}

/** The state of the installation: unavailable without its database, degraded if anything else fails. */
export interface Health {
  status: "ok" | "degraded" | "unavailable";
  checks: Record<string, Check>;
}

/** Dependencies of {@link healthCheck}. */
export interface HealthParts {
  /** A client with the secret key. */
  service: CallerClient;
  /** Null: no Redis is configured. */
  redis: Pick<RedisClient, "call"> | null;
  /** Rejects unless the keys of the environment are the registered ones; null: nothing is encrypted. */
  compareKeys: (() => Promise<void>) | null;
  log?: (line: string) => void;
  now?: () => number;
  /** How long a dependency may take, in milliseconds. */
  timeoutMs?: number;
}

/** Milliseconds for which an answer is given again: callers cannot make more work than that. */
const keptMs = 5000;
/** Keys change with a deployment, and comparing a passphrase takes time. */
const keysKeptMs = 60_000;
const defaultTimeoutMs = 2000;

/**
 * Checks every dependency at once, each with its own timeout. Calls within five seconds share one
 * answer, so anybody may call it. It never rejects, and its answer has no secret and no error text:
 * the log has the cause, once for each change.
 */
export function healthCheck(parts: HealthParts): () => Promise<Health> {
  const { service, redis, compareKeys, now = Date.now, timeoutMs = defaultTimeoutMs } = parts;
  const { log = console.error } = parts;
  const logged = new Map<string, string>();
  const timed = async (name: string, task: () => Promise<unknown>): Promise<Check> => {
    const start = performance.now();
    const failure = await withTimeout(task(), { timeoutMs }).then(() => "", String);
    if (failure !== (logged.get(name) ?? "")) {
      logged.set(name, failure);
      log(failure ? `health: ${name} fails: ${failure}` : `health: ${name} works again`);
    }
    const seconds = Math.round(performance.now() - start) / 1000;
    return { status: failure ? "failing" : "ok", seconds };
  };
  const checkKeys = compareKeys && kept(
    () => timed("keys", compareKeys),
    // The first derivation from a passphrase can take longer than the timeout.
    ({ status }) => status === "ok" ? keysKeptMs : keptMs,
    now,
  );
  const checkAll = async (): Promise<Health> => {
    let states: { name: string; healthy: boolean; seconds: number | null }[] = [];
    const [database, shared, keys] = await Promise.all([
      timed("database", async () => states = unwrap(await service.rpc("check_health"))),
      redis && timed("redis", () => redis.call("PING")),
      checkKeys?.(),
    ]);
    const checks: Record<string, Check> = { database };
    if (shared) checks.redis = shared;
    if (keys) checks.keys = keys;
    if (database.status === "ok") {
      for (const { name, healthy, seconds } of states) {
        checks[name] = { status: healthy ? "ok" : "failing", seconds };
      }
    }
    const fails = Object.values(checks).some(({ status }) => status === "failing");
    const status = database.status === "failing" ? "unavailable" : fails ? "degraded" : "ok";
    return { status, checks };
  };
  return kept(checkAll, () => keptMs, now);
}

/** A task whose outcome is kept for a time; calls meanwhile share it. It must not reject. */
function kept<Value>(
  task: () => Promise<Value>,
  millisecondsFor: (value: Value) => number,
  now: () => number,
): () => Promise<Value> {
  let until = -Infinity;
  let outcome: Promise<Value> | undefined;
  return () => {
    if (!outcome || now() >= until) {
      until = Infinity;
      outcome = task();
      outcome.then((value) => until = now() + millisecondsFor(value));
    }
    return outcome;
  };
}
