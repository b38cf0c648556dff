/**
 * `npm run rotate-keys`: rotates keys and shows how far the re-encryption is, until it is done. It
 * may be stopped at any time: the scheduler goes on, and so does calling it again.
 *
 *   --organization <id>,<id>    a new data key for an organization, or for several
 *   --system                    a new data key for what belongs to no organization
 *   --index                     new blind index keys instead
 *   --key-encryption-key <id>   wraps all data keys under this key-encryption key from now on
 *   --retry                     begins anew where rows did not decrypt
 *
 * Without an option it goes on with what is under way. SUPABASE_URL and BULWARK_SCHEDULER_SECRET say
 * where; without them it is the running local stack.
 */
import type { WorkDone } from "../supabase/functions/_bulwark/encryption/rotation.ts";
import { progressLine } from "./audit/progress.ts";
import { progressBar } from "./encryption/progress_bar.ts";
import { parseArguments } from "./stack/arguments.ts";
import { main } from "./stack/main.ts";
import { schedulerCalls } from "./stack/scheduler.ts";

const usage = "npm run rotate-keys -- [--organization <id>,…] [--system] [--index] " +
  "[--key-encryption-key <id>] [--retry]";

await main(async (signal) => {
  const { values } = parseArguments({
    organization: { type: "string" },
    system: { type: "boolean" },
    index: { type: "boolean" },
    "key-encryption-key": { type: "string" },
    retry: { type: "boolean" },
  }, usage);
  const call = await schedulerCalls<WorkDone>("bulwark-encryption/work", "rotate keys", signal);
  const organizations = (values.organization ?? "").split(",").filter(Boolean);
  let asked: Record<string, unknown> = {
    rotate: [...organizations, ...values.system ? [null] : []],
    purpose: values.index ? "index" : "field",
    key_encryption_key: values["key-encryption-key"] ?? null,
    retry: values.retry ?? false,
  };
  const line = progressLine();
  const started = performance.now();
  const sum = { rewrapped: 0, reencrypted: 0 };
  for (;;) {
    const answer = await call(asked);
    for (const { organization_id, purpose, version } of answer.rotated) {
      line.end();
      console.log(`${organization_id ?? "system"}: ${purpose} key version ${version}`);
    }
    sum.rewrapped += answer.rewrapped;
    sum.reencrypted += answer.reencrypted;
    const seconds = (performance.now() - started) / 1000;
    line.update(progressBar(answer.progress, sum.reencrypted / seconds));
    if (!answer.more) {
      line.end();
      console.log(`${sum.rewrapped} data keys rewrapped, ${sum.reencrypted} rows re-encrypted`);
      const { settling, incomplete } = answer.progress;
      if (settling > 0) {
        console.log(
          `${settling} columns are looked through once more when no function holds an old key: ` +
            "the scheduler does that within minutes",
        );
      }
      if (incomplete === 0) return 0;
      console.error(
        `${incomplete} columns have rows that do not decrypt: see bulwark.reencryption_failures`,
      );
      return 1;
    }
    // Somebody else has the batches; or all of them are lent for a moment.
    if (answer.reencrypted === 0) await new Promise((resolve) => setTimeout(resolve, 500));
    asked = answer.left_to_rewrap ? { key_encryption_key: asked.key_encryption_key } : {};
  }
});
