import { capabilities } from "../../scripts/building/capabilities.ts";
import { commonHelp, commonOptions, parse } from "../arguments.ts";
import { carryOut } from "../carrying_out.ts";
import { CliError } from "../errors.ts";
import { requireLock } from "../lock.ts";
import type { Command } from "../main.ts";
import { findProject } from "../project.ts";
import { added, planFor } from "./init.ts";

/** `bulwark add`. */
export const add: Command = {
  summary: "adds capabilities to an installation",
  help: `Usage: bulwark add <capability>... [options]

Adds capabilities, and what they need: ${
    capabilities.filter(({ core }) => !core).map(({ name }) => name).join(", ")
  }.

${commonHelp}`,
  async run(args, terminal) {
    const { values, positionals } = parse(args, commonOptions, true);
    if (positionals.length === 0) {
      throw new CliError("CLI_USAGE", "Say which capabilities to add: see bulwark add --help", 2);
    }
    const project = findProject(values.workdir);
    const lock = requireLock(project);
    const wanted = [...lock.capabilities, ...positionals.flatMap((list) => list.split(","))];
    const plan = await planFor(project, lock, wanted, values.db);
    plan.notes.unshift(...added(wanted));
    return await carryOut(project, plan, { dryRun: values["dry-run"], yes: values.yes }, terminal);
  },
};
