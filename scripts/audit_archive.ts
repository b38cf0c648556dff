/**
 * `npm run audit-archive -- <month>`: archives the audit log through a month, such as 2026-01, and
 * drops each month from the database once its files are verified in the bucket. It may be stopped or
 * killed at any time: the same command goes on.
 *
 *   --restore --reason <text>   loads that month back into audit_restored_logs instead
 *   --organization <id>         of this organization
 *   --system                    of the entries without one
 *   --everybody                 of all
 *
 * Ends with 0 where the months are archived, 1 where something failed, and 2 where a month waits, or
 * stays because a legal hold keeps an entry of it.
 *
 * The function `bulwark-audit` does the work, and has the bucket's credentials. SUPABASE_URL and
 * BULWARK_SCHEDULER_SECRET say where; without them it is the running local stack.
 */
import type { ArchiveReport } from "../supabase/functions/_bulwark/audit/archive/archiving.ts";
import type { RestoreReport } from "../supabase/functions/_bulwark/audit/archive/restoring.ts";
import { progressLine } from "./audit/progress.ts";
import { parseArguments, wrongUsage } from "./stack/arguments.ts";
import { main } from "./stack/main.ts";
import { schedulerCalls } from "./stack/scheduler.ts";

const usage = "npm run audit-archive -- <month> " +
  "[--restore --reason <text> (--organization <id> | --system | --everybody)]";

const waits: Record<string, string> = {
  seal: "nothing was sealed since it ended",
  checkpoint: "no checkpoint over it was delivered yet",
  legal_hold: "a legal hold keeps an entry of it; its files are in the bucket",
  partition_not_over: "its partition ends later; its files are in the bucket",
};

const readArguments = () =>
  parseArguments(
    {
      restore: { type: "boolean" },
      reason: { type: "string" },
      organization: { type: "string" },
      system: { type: "boolean" },
      everybody: { type: "boolean" },
    },
    usage,
    { positionals: 1 },
  );

await main(async (signal) => {
  const { values, positionals: [month] } = readArguments();
  if (!month) throw wrongUsage("A month is needed", usage);
  return values.restore ? await restore(month, values, signal) : await archive(month, signal);
});

async function archive(through: string, signal: AbortSignal): Promise<number> {
  const call = await schedulerCalls<ArchiveReport>("bulwark-audit/archive", "archive", signal);
  const line = progressLine();
  const sum = { files: 0, entries: 0 };
  for (;;) {
    const { archived, files, entries, waiting, more } = await call({ through });
    sum.files += files;
    sum.entries += entries;
    line.update(`${sum.entries.toLocaleString()} entries in ${sum.files} files`);
    for (const { month, entries } of archived) {
      line.end();
      console.log(`${month.slice(0, 7)}: archived, ${entries.toLocaleString()} entries dropped`);
    }
    if (more) continue;
    line.end();
    if (!waiting) return 0;
    console.error(`${waiting.month.slice(0, 7)}: ${waits[waiting.for] ?? waiting.for}`);
    return 2;
  }
}

async function restore(
  month: string,
  values: ReturnType<typeof readArguments>["values"],
  signal: AbortSignal,
): Promise<number> {
  const { reason, organization, system, everybody } = values;
  if (!reason || [organization, system, everybody].filter(Boolean).length !== 1) {
    throw wrongUsage("A reason and whose entries are needed", usage);
  }
  const of = everybody ? "everybody" : { organization_id: organization ?? null };
  const path = "bulwark-audit/archive/restore";
  const call = await schedulerCalls<RestoreReport>(path, "restore the archive", signal);
  const line = progressLine();
  let entries = 0;
  for (let from: number | null = 0; from !== null;) {
    const answer: RestoreReport = await call({ month, reason, of, from });
    entries += answer.entries;
    from = answer.next;
    line.update(`${entries.toLocaleString()} entries`);
  }
  line.end();
  console.log(`${entries.toLocaleString()} entries of ${month} are in bulwark.audit_restored_logs`);
  return 0;
}
