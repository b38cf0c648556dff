/**
 * Verification of an export without the database, as `npm run verify-audit` does it, with both cores and
 * with one: `npm run bench -- audit_offline`. The log of 200,000 entries is made up, sealed in parts of
 * 2,000, and exported in parts of 50,000 like a real one.
 */
import { verifyExport } from "../../clients/js/src/audit.ts";
import { type BlockReader, inline } from "../../clients/js/src/audit/reader.ts";
import { formatVerifierKey } from "../../supabase/functions/_bulwark/audit/note.ts";
import { nativeHash } from "../audit/native.ts";
import { workerPool } from "../audit/pool.ts";
import { asBytes, exported, organization, SampleLog, sampleSigner } from "../audit/sample.ts";
import { Failure } from "../stack/failure.ts";
import { bench } from "./harness.ts";

const entries = 200_000;
const inSeal = 2000;

const cause =
  "SHA-256 of the payload, of the entry and of its place in the tree: thirteen blocks of 64 " +
  "bytes an entry, in JavaScript, where V8 takes about 0.3 µs for one and WebAssembly is not allowed in a " +
  "page with a strict policy. Reading the line takes less than that.";

export default bench({
  async setup({ log, onStop }) {
    const file = await Deno.makeTempFile({ prefix: "bulwark-bench-" });
    onStop(() => Deno.remove(file));
    const signer = await sampleSigner(1);
    const keys = [await formatVerifierKey(signer)];
    log(`exporting ${entries} entries`);
    await writeLog(file, signer);
    const verified = async (reader: BlockReader) => {
      const { readable } = await Deno.open(file);
      const start = performance.now();
      const verdict = await verifyExport(readable, { keys }, { reader, newHash: nativeHash });
      const seconds = (performance.now() - start) / 1000;
      reader.stop();
      if (verdict.outcome !== "intact" || verdict.covered !== entries) {
        throw new Failure("BENCH", "the export does not verify");
      }
      return entries / seconds;
    };
    return [{
      name: "entries verified offline, on two cores",
      unit: "entries/s",
      better: "higher",
      ours: () => verified(workerPool(2)),
      aim: { value: 250_000, cause },
      peers: [{ name: "on one thread", run: () => verified(inline()) }],
    }];
  },
});

async function writeLog(path: string, signer: Awaited<ReturnType<typeof sampleSigner>>) {
  const sample = new SampleLog(signer);
  for (let made = 0; made < entries; made += inSeal) {
    await sample.seal(sample.entries(inSeal, organization));
  }
  await sample.sign();
  const file = await Deno.open(path, { write: true, append: true });
  let after: string | null = null;
  do {
    const lines = await exported(sample, organization, { after, sealsPerPage: 1 });
    const bytes = asBytes(lines);
    for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
    after = lines.at(-2)!.next as string | null;
  } while (after !== null);
  file.close();
}
