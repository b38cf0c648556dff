/** Fields per second compared with raw WebCrypto and @47ng/cloak in the same process, on both runtimes. */
import { currentDeno, hostedDeno } from "../stack/binaries.ts";
import { inRepository } from "../stack/paths.ts";
import { type FieldsTask, subjects } from "./encryption/task.ts";
import { bench, type BenchRow } from "./harness.ts";

export default bench({
  setup: () =>
    Promise.resolve([
      ...fields("Deno 2.9", currentDeno()),
      ...fields("Deno 2.1", hostedDeno()),
    ]),
});

/** Rows of one runtime: both directions, one at a time and in batches. */
function fields(runtime: string, deno: string): BenchRow[] {
  const rows: BenchRow[] = [];
  for (const [name, size] of [["64 B", 64], ["1 KiB", 1024], ["64 KiB", 65_536]] as const) {
    for (const direction of ["encrypt", "decrypt"] as const) {
      for (const inBatches of [false, true]) {
        let rates: number[] = [];
        const [, ...peers] = subjects;
        rows.push({
          name: `${direction}, ${name}, ${inBatches ? "batches" : "one by one"}, ${runtime}`,
          unit: "fields/s",
          better: "higher",
          async ours() {
            rates = await measured(deno, { direction, size, inBatches });
            return rates[0]!;
          },
          peers: peers.map((name, index) => ({
            name,
            aim: aimOf(name, size),
            run: () => Promise.resolve(rates[index + 1]!),
          })),
        });
      }
    }
  }
  return rows;
}

/** Half as fast again as WebCrypto for short fields, and never behind anybody. */
function aimOf(peer: string, size: number): { ratio: number; cause: string } {
  const ratio = peer.includes("cloak") || size > 1024 ? 1 : 1.5;
  return { ratio, cause: size > 1024 ? causes.long : size > 64 ? causes.middle : causes.short };
}

const causes = {
  short:
    "In a batch WebCrypto's fields wait for its threads together, 12 µs each. Half of our time is " +
    "the cipher of node:crypto; the rest is the field's address, its nonce and base64url.",
  middle: "At 1 KiB the cipher itself takes as long as WebCrypto's change of threads.",
  long:
    "Ours is WebCrypto here, which also authenticates the field's address, in a text with the " +
    "format and the key's id around it.",
};

/** The rates of all subjects, in a process of their own. */
async function measured(deno: string, task: FieldsTask): Promise<number[]> {
  const { code, stdout } = await new Deno.Command(deno, {
    args: [
      ...[
        "run",
        "-A",
        "--no-check",

        "--config",
        inRepository("deno.json"),
      ],
      inRepository("scripts", "bench", "encryption", "fields.ts"),
      JSON.stringify(task),
    ],
    stderr: "inherit",
  }).output();
  if (code !== 0) throw new Error(`fields.ts ended with ${code}`);
  return JSON.parse(new TextDecoder().decode(stdout));
}
