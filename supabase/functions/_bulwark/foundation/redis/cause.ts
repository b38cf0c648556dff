import type { Verdict } from "./breaker.ts";

/** An HTTP answer with another status than 200 or of an unexpected form. */
export class HttpError extends Error {
  override readonly name = "HttpError";
  constructor(readonly status: number, message: string) {
    super(`HTTP ${status}: ${message}`);
  }
}

/** No connection could be made; the reason is the cause. */
export class NoConnection extends Error {
  override readonly name = "NoConnection";
  constructor(cause: unknown) {
    super("no connection to Redis", { cause });
  }
}

/** The effect of an error on the breaker, and advice for the operator; null: nothing to do. */
export interface Cause {
  verdict: Verdict;
  advice: string | null;
}

const away =
  "Start Redis, or correct its address, and see that the network lets functions reach it.";
const slow = "See whether Redis is frozen, overloaded or cannot be reached, or raise " +
  "BULWARK_CACHE_TIMEOUT_MS where it is far away.";
const plan = "The limit of the plan at Upstash is reached: raise it, or wait.";
const clusterDown =
  "A part of the Redis Cluster is away: see CLUSTER INFO. Give each primary a replica.";
const clusterUser =
  "See that the Redis Cluster shows slots to Redis' user (CLUSTER SLOTS), and that " +
  "functions reach all of its nodes at the addresses that it names.";

/** The first entry that matches the message counts. */
const causes: readonly [word: RegExp, advice: string | null, verdict?: Verdict][] = [
  [/\bNOSCRIPT\b/, null, "answer"],
  [/\bWRONGTYPE\b/, "Another program uses the same keys: set BULWARK_CACHE_PREFIX.", "answer"],
  [/\bOOM\b/, "Raise maxmemory, or set maxmemory-policy to one that evicts.", "answer"],
  [/\bMISCONF\b/, "Redis cannot save to its disk: see its log, or set save to nothing.", "answer"],
  [/\bNOREPLICAS\b/, "Redis has fewer replicas than min-replicas-to-write says.", "answer"],
  [/\bNOPERM\b/, "Give Redis' user all commands and keys of Bulwark (ACL SETUSER).", "answer"],
  [/\b(READONLY|MASTERDOWN)\b/, "Give REDIS_URL the address of the primary: this is a replica."],
  [/\bCLUSTERDOWN\b/, clusterDown],
  [/\bTRYAGAIN\b/, "A slot of the Redis Cluster is being moved.", "answer"],
  [/\b(MOVED|ASK|CROSSSLOT)\b|Failed to refresh slots|startup nodes/, clusterUser],
  [/\b(WRONGPASS|NOAUTH)\b|invalid password/i, "Correct the user and password of Redis."],
  [/\bLOADING\b/, "Redis reads its data from disk and will answer by itself."],
  [/\bBUSY\b/, "A script of another program blocks Redis: see SCRIPT KILL."],
  [/max number of clients/, "Raise maxclients, or end clients that are not needed."],
  [/max (daily )?requests? limit/, plan],
  [/\bDENIED\b/, "Redis is in protected mode: give it a password."],
  // A bad value under one key must not open the breaker for everybody.
  [/user_script|Error (running|compiling) script/, "A key of Bulwark has a bad value.", "answer"],
  [/no answer within|timed out/, slow],
  // The next command connects again and finds out whether Redis is away.
  [/Connection is closed/, away, "doubt"],
];

const byStatus: Record<number, string> = {
  401: "Correct UPSTASH_REDIS_REST_TOKEN.",
  403: "Correct UPSTASH_REDIS_REST_TOKEN, and let the functions' addresses in.",
  404: "Correct UPSTASH_REDIS_REST_URL.",
  429: plan,
};

/** Classifies an error of a call to Redis. */
export function causeOf(thrown: unknown): Cause {
  const error = rootOf(thrown);
  const { message } = error;
  // An error while connecting is no answer to the command.
  const isOwn = error === thrown;
  const status = error instanceof HttpError ? error.status : null;
  if (status === null || status === 400) {
    for (const [word, advice, verdict = "outage"] of causes) {
      if (word.test(message)) return { verdict: isOwn ? verdict : "outage", advice };
    }
  }
  if (status !== null) {
    const advice = byStatus[status] ??
      "See UPSTASH_REDIS_REST_URL, and the state of the database in Upstash's console.";
    return { verdict: "outage", advice };
  }
  if (error.name === "ReplyError" && isOwn) {
    const advice =
      "See whether the server is a Redis of version 6 or later, with all its commands.";
    return { verdict: "answer", advice };
  }
  return { verdict: "outage", advice: away };
}

/** An error's message on one line, without command arguments and secrets. */
export function textOf(thrown: unknown, secrets: readonly string[]): string {
  const error = rootOf(thrown);
  const { code } = error as { code?: unknown };
  const isTold = typeof code !== "string" || error.message.includes(code);
  let text = isTold ? error.message : `${code}: ${error.message}`;
  text = text.replace(/,? (with args beginning with|command was):.*/s, "");
  for (const secret of secrets) text = text.replaceAll(secret, "***");
  return text.replace(/\s+/g, " ").replace(/[ .]+$/, "").slice(0, 300);
}

/** The underlying error; of several addresses, the first one's. */
function rootOf(thrown: unknown): Error {
  if (thrown instanceof NoConnection) return rootOf(thrown.cause);
  if (thrown instanceof AggregateError && thrown.errors.length > 0) return rootOf(thrown.errors[0]);
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
