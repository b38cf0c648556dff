import { applyPlan } from "./apply.ts";
import { CliError } from "./errors.ts";
import { describePlan, type Plan } from "./plan.ts";
import type { Project } from "./project.ts";
import type { Terminal } from "./terminal.ts";

/** How a plan is carried out. */
export interface Way {
  dryRun: boolean;
  yes: boolean;
}

/** Shows a plan, asks, and carries it out. @throws CliError if something stands in the way */
export async function carryOut(project: Project, plan: Plan, way: Way, terminal: Terminal) {
  refuseClashes(plan);
  for (const line of describePlan(plan)) terminal.print(line);
  if (way.dryRun) {
    terminal.print("\nDry run: nothing was written.");
    return 0;
  }
  const isDone = plan.changes.length === 0;
  if (!isDone && !way.yes) await ask(terminal);
  applyPlan(project, plan);
  for (const line of isDone ? [] : ["", ...plan.next]) terminal.print(line);
  return 0;
}

async function ask(terminal: Terminal): Promise<void> {
  if (!terminal.interactive) {
    throw new CliError(
      "CLI_NOT_CONFIRMED",
      "Nobody can be asked here, and nothing was written: add --yes",
    );
  }
  if (await terminal.confirm("Write this?")) return;
  throw new CliError("CLI_CANCELLED", "Cancelled: nothing was written", 130);
}

function refuseClashes({ clashes }: Plan): void {
  if (clashes.length === 0) return;
  const list = clashes.map(({ where, problem }) => `\n  ${where}: ${problem}`).join("");
  throw new CliError(
    "CLI_CLASHES",
    `Nothing was written, because this stands in the way:${list}\n`,
  );
}
