/**
 * `npm run verify-audit -- <bundle.ndjson> --key <name+hash+key>`: verifies an export of the audit
 * log without a database, from the bundle and the public key alone.
 *
 *   --key <vkey or file>         a public key; several where keys were rotated
 *   --checkpoint <file>          a checkpoint kept elsewhere, against a log that was rewritten
 *   --consistency <file>         the proof from that checkpoint to the bundle's, where it is newer
 *   --organization <id>, --system    whose log it has to be
 *   --period <from>/<to>         it has to have all that was sealed in this period
 *   --after <cursor>, --until <cursor>   the part of the log that it has to be; by default all
 *   --pruned <seal>              accepts that the log was pruned up to that seal
 *   --empty                      accepts that no entry is there, as its signed end says
 *   --json                       the verdict as JSON
 *
 * Ends with 0 where every entry of what was asked for is proved, 1 where something is wrong, and 2
 * where neither can be said.
 */
import { VerificationError, verifyExport } from "../clients/js/src/audit.ts";
import { inline } from "../clients/js/src/audit/reader.ts";
import { nativeHash } from "./audit/native.ts";
import { periodForm, periodOption } from "./audit/period.ts";
import { workerPool } from "./audit/pool.ts";
import { progressLine } from "./audit/progress.ts";
import { exitCode, reportLines } from "./audit/report.ts";
import { parseArguments, wrongUsage } from "./stack/arguments.ts";
import { exists } from "./stack/binaries.ts";
import { Failure, reason } from "./stack/failure.ts";
import { main } from "./stack/main.ts";

const usage = "npm run verify-audit -- <bundle.ndjson> --key <key> [--key <key>] " +
  "[--checkpoint <file>] [--consistency <file>] [--organization <id> | --system] " +
  `[${periodForm} | --after <cursor> --until <cursor>] [--pruned <seal>] [--empty] [--json]`;
/** Smaller bundles are verified before worker threads have started. */
const largeBundle = 8 * 1024 * 1024;

// A failure of the verifier says nothing about the log.
await main((signal) => verify(signal).catch(asFailure), { failed: 2 });

function asFailure(thrown: unknown): never {
  throw thrown instanceof VerificationError ? new Failure(thrown.code, thrown.message, 2) : thrown;
}

async function verify(signal: AbortSignal): Promise<number> {
  // There is nothing to clean up, and a pipe could block forever.
  signal.addEventListener("abort", () => Deno.exit(signal.reason.status));
  const { bundle, key, checkpoint, consistency, json, asked } = readArguments();
  const keys = await Promise.all(
    key.map((given) => exists(given) ? readText(given) : given),
  );
  const kept = checkpoint === undefined ? undefined : await readText(checkpoint);
  const proof = consistency === undefined ? undefined : await readProof(consistency);

  const file = await openBundle(bundle);
  const { size } = await file.stat();
  const reader = size < largeBundle ? inline() : workerPool(navigator.hardwareConcurrency);
  const progress = progressLine();
  const started = performance.now();
  const verdict = await verifyExport(chunksOf(file, bundle), {
    keys,
    ...asked,
    checkpoint: kept,
    consistency: proof,
    onProgress({ bytes, entries }) {
      // The length of a pipe is unknown.
      const part = size > 0 ? `${Math.floor(100 * bytes / size)} %, ` : "";
      progress.update(`${part}${entries.toLocaleString()} entries`);
    },
  }, { reader, newHash: nativeHash }).finally(() => {
    progress.end();
    reader.stop();
  });
  const seconds = (performance.now() - started) / 1000;
  print(json ? JSON.stringify(verdict) : reportLines(verdict, seconds).join("\n"));
  return exitCode(verdict);
}

function readArguments() {
  const { values, positionals: [bundle] } = parseArguments(
    {
      key: { type: "string", multiple: true },
      checkpoint: { type: "string" },
      consistency: { type: "string" },
      organization: { type: "string" },
      system: { type: "boolean" },
      period: { type: "string" },
      after: { type: "string" },
      until: { type: "string" },
      pruned: { type: "string" },
      empty: { type: "boolean", default: false },
      json: { type: "boolean" },
    },
    usage,
    { positionals: 1 },
  );
  const refuse = (problem: string) => wrongUsage(problem, usage);
  if (!bundle) throw refuse("One bundle is needed");
  if (!values.key) throw refuse("A public key is needed (--key)");
  if (values.system && values.organization !== undefined) {
    throw refuse("--system and --organization exclude each other");
  }
  if (values.consistency && !values.checkpoint) {
    throw refuse("--consistency says nothing without --checkpoint");
  }
  if (values.pruned !== undefined && !/^[1-9]\d{0,14}$/.test(values.pruned)) {
    throw refuse("--pruned needs the number of a seal");
  }
  if (values.period !== undefined && (values.after ?? values.until) !== undefined) {
    throw refuse("--period excludes --after and --until");
  }
  const period = periodOption(values.period, usage) ?? undefined;
  const { key, after, until, empty, checkpoint, consistency, json } = values;
  const asked = {
    organization: values.system ? null : values.organization,
    period,
    after,
    until,
    pruned: values.pruned === undefined ? undefined : Number(values.pruned),
    empty,
  };
  return { bundle, key, checkpoint, consistency, json, asked };
}

/** A closed pipe means that the reader has seen enough; any other write error is a failure. */
function print(text: string): void {
  try {
    console.log(text);
  } catch (thrown) {
    if (thrown instanceof Deno.errors.BrokenPipe) return;
    throw new Failure("NOT_WRITTEN", `Cannot write the verdict: ${reason(thrown)}`, 2);
  }
}

async function readProof(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readText(file));
  } catch (thrown) {
    if (thrown instanceof Failure) throw thrown;
    throw new Failure("BAD_PROOF", `Cannot use ${file}: ${reason(thrown)}`, 2);
  }
}

async function readText(file: string): Promise<string> {
  if (!exists(file)) throw new Failure("NO_FILE", `Cannot read ${file}: no such file`, 2);
  return await Deno.readTextFile(file);
}

async function openBundle(file: string): Promise<Deno.FsFile> {
  if (!exists(file)) throw new Failure("NO_FILE", `Cannot read ${file}: no such file`, 2);
  try {
    return await Deno.open(file);
  } catch (thrown) {
    throw unreadable(file, thrown);
  }
}

/** The bytes of an open file; a read error says nothing about the log. */
async function* chunksOf(open: Deno.FsFile, file: string): AsyncGenerator<Uint8Array> {
  const chunks = open.readable[Symbol.asyncIterator]();
  for (;;) {
    const { done, value } = await chunks.next().catch((thrown) => {
      throw unreadable(file, thrown);
    });
    if (done) return;
    yield value;
  }
}

function unreadable(file: string, thrown: unknown): Failure {
  return new Failure("NO_FILE", `Cannot read ${file}: ${reason(thrown)}`, 2);
}
