/**
 * `npm run verify-audit -- <bundle.ndjson> --key <name+hash+key>`: verifies an export of the audit
 * log without a database, from the bundle and the public key alone.
 *
 *   --key <vkey or file>         a public key; several where keys were rotated
 *   --checkpoint <file>          a checkpoint kept elsewhere, against a log that was rewritten
 *   --consistency <file>         the proof from that checkpoint to the bundle's, where it is newer
 *   --json                       the verdict as JSON
 *
 * Ends with 0 where the log is intact, 1 where it is not, 2 where that cannot be said.
 */
import { parseArgs } from "node:util";
import {
  type Checkpoint,
  openCheckpoint,
  parseVerifierKey,
  type VerifierKey,
} from "../supabase/functions/_shared/audit/note.ts";
import { compareWithKept } from "./audit/anchor.ts";
import { inline, workerPool } from "./audit/pool.ts";
import { progressLine } from "./audit/progress.ts";
import { reportLines } from "./audit/report.ts";
import { verifyBundle } from "./audit/verify.ts";
import { exists } from "./stack/binaries.ts";
import { Failure, reason } from "./stack/failure.ts";
import { main } from "./stack/main.ts";

const usage = "npm run verify-audit -- <bundle.ndjson> --key <key> [--key <key>] " +
  "[--checkpoint <file>] [--consistency <file>] [--json]";
/** Below this a bundle is verified before worker threads have started. */
const largeBundle = 8 * 1024 * 1024;

await main(async () => {
  const { bundle, keyTexts, checkpoint, consistency, json } = readArguments();
  const keys = await Promise.all(keyTexts.map(readKey));
  const kept = checkpoint ? await readCheckpoint(checkpoint, keys) : null;
  const proof = consistency ? JSON.parse(await readText(consistency)) : null;

  const file = await openBundle(bundle);
  const { size } = await file.stat();
  const reader = size < largeBundle ? inline() : workerPool(navigator.hardwareConcurrency);
  const progress = progressLine();
  const started = performance.now();
  const { verdict, checkpoint: own } = await verifyBundle(file.readable, {
    keys,
    reader,
    onProgress: (bytes, entries) =>
      progress.update(`${Math.floor(100 * bytes / size)} %, ${entries.toLocaleString()} entries`),
  }).finally(() => {
    progress.end();
    reader.stop();
  });
  if (kept && own) {
    const finding = await compareWithKept(own, kept, proof);
    if (finding) verdict.findings.push(finding);
    if (!proof && own.size > kept.size) {
      verdict.remarks.push(
        `whether the ${kept.size} seals signed before are unchanged: give --consistency with the ` +
          `answer of /audit/proof/consistency?from=${kept.size}&to=${own.size}`,
      );
    }
  }
  const seconds = (performance.now() - started) / 1000;
  console.log(json ? JSON.stringify(verdict) : reportLines(verdict, seconds).join("\n"));
  return verdict.findings.length === 0 ? 0 : 1;
});

function readArguments() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        key: { type: "string", multiple: true },
        checkpoint: { type: "string" },
        consistency: { type: "string" },
        json: { type: "boolean" },
      },
    });
    const [bundle] = positionals;
    if (!bundle || positionals.length > 1) throw new Error("one bundle is needed");
    if (!values.key) throw new Error("a public key is needed (--key)");
    return { ...values, bundle, keyTexts: values.key };
  } catch (thrown) {
    throw new Failure("USAGE", `${reason(thrown).split(". To")[0]}; usage: ${usage}`, 2);
  }
}

async function readKey(given: string): Promise<VerifierKey> {
  try {
    return await parseVerifierKey(exists(given) ? await Deno.readTextFile(given) : given);
  } catch (thrown) {
    throw new Failure("BAD_KEY", `Cannot read the key: ${reason(thrown)}`, 2);
  }
}

async function readCheckpoint(file: string, keys: VerifierKey[]): Promise<Checkpoint> {
  try {
    return await openCheckpoint(await readText(file), keys);
  } catch (thrown) {
    if (thrown instanceof Failure) throw thrown;
    throw new Failure("BAD_CHECKPOINT", `Cannot use ${file}: ${reason(thrown)}`, 2);
  }
}

async function readText(file: string): Promise<string> {
  if (!exists(file)) throw new Failure("NO_FILE", `Cannot read ${file}: no such file`, 2);
  return await Deno.readTextFile(file);
}

async function openBundle(file: string): Promise<Deno.FsFile> {
  if (!exists(file)) throw new Failure("NO_FILE", `Cannot read ${file}: no such file`, 2);
  return await Deno.open(file);
}
