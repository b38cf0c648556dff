import { capabilities } from "../../scripts/building/capabilities.ts";
import { compareVersions } from "../../scripts/building/upgrade_text.ts";
import { commonHelp, commonOptions, parse } from "../arguments.ts";
import { carryOut } from "../carrying_out.ts";
import { fileClashes } from "../clashes.ts";
import { contentsFor, resolveCapabilities } from "../contents.ts";
import { appliedVersions, databaseClashes, withDatabase } from "../database.ts";
import { CliError } from "../errors.ts";
import { type Lock, readLock } from "../lock.ts";
import type { Command } from "../main.ts";
import { nextSteps } from "../next_steps.ts";
import type { Clash, Plan } from "../plan.ts";
import { planInstallation } from "../planning.ts";
import { findProject, type Project } from "../project.ts";
import type { Terminal } from "../terminal.ts";

const optional = capabilities.filter(({ core }) => !core);
const width = Math.max(...optional.map(({ name }) => name.length)) + 2;

/** `bulwark init`. */
export const init: Command = {
  summary: "puts Bulwark into a Supabase project",
  help: `Usage: bulwark init [options]

Writes migrations, functions, sections of config.toml and local secrets into a project that has
supabase/config.toml. The core is always there: ${
    capabilities.filter(({ core }) => core).map(({ name }) => name).join(", ")
  }.
Run it again to complete it: files that are there stay as they are.

  --with <list>     capabilities beside the core, separated by commas; all; or none.
                    Without it you are asked; with --yes or without a terminal it is required:
${optional.map(({ name, description }) => `      ${name.padEnd(width)}${description}`).join("\n")}
${commonHelp}`,
  async run(args, terminal) {
    const { values } = parse(args, { ...commonOptions, with: { type: "string" } });
    const project = findProject(values.workdir);
    const lock = readLock(project);
    const mayAsk = terminal.interactive && !values.yes;
    const chosen = await choose(values.with, lock, mayAsk ? terminal : null);
    const plan = await planFor(project, lock, chosen, values.db);
    plan.notes.unshift(...added(chosen));
    return await carryOut(project, plan, { dryRun: values["dry-run"], yes: values.yes }, terminal);
  },
};

/** Plans an installation with these capabilities, and lists what is in its way. */
export async function planFor(
  project: Project,
  lock: Lock | null,
  names: string[],
  db: string | undefined,
): Promise<Plan> {
  const contents = contentsFor(names);
  if (lock && lock.version !== contents.version) {
    const isNewer = compareVersions(contents.version, lock.version) > 0;
    throw new CliError(
      "CLI_OTHER_VERSION",
      `Bulwark ${lock.version} is installed and this is ${contents.version}: ` +
        (isNewer ? "run bulwark upgrade first" : "install the newer package"),
    );
  }
  const found = fileClashes(project, contents, lock);
  let applied: string[] = [];
  if (db !== undefined) {
    const answers = await withDatabase(db, async (sql): Promise<[Clash[], string[]]> => [
      await databaseClashes(sql, lock),
      await appliedVersions(sql),
    ]);
    found.push(...answers[0]);
    applied = answers[1];
  }
  const now = new Date();
  const title = `Bulwark ${contents.version}: ${contents.capabilities.join(", ")}`;
  const plan = planInstallation(title, { project, contents, lock, applied, now });
  return { ...plan, clashes: found, next: nextSteps(contents) };
}

async function choose(
  list: string | undefined,
  lock: Lock | null,
  /** Null: nobody can be asked. */
  terminal: Terminal | null,
): Promise<string[]> {
  if (list !== undefined && list.trim() !== "") {
    const names = namesOf(list);
    const beyond = resolveCapabilities(names).map(({ name }) => name)
      .filter((name) => lock && !lock.capabilities.includes(name));
    if (beyond.length === 0) return lock?.capabilities ?? names;
    throw new CliError(
      "CLI_ALREADY_INSTALLED",
      `Bulwark is in this project already: run bulwark add ${beyond.join(" ")}`,
    );
  }
  if (lock && list === undefined) return lock.capabilities;
  if (list === undefined && terminal) {
    return await terminal.selectMany(
      "Which capabilities, beside the core?",
      optional.map(({ name, description }) => ({ value: name, label: name, hint: description })),
    );
  }
  throw new CliError(
    "CLI_USAGE",
    "Say which capabilities, as nobody is asked: --with <list>, --with all or --with none",
    2,
  );
}

function namesOf(list: string): string[] {
  if (list === "all") return optional.map(({ name }) => name);
  if (list === "none") return [];
  return list.split(",").map((name) => name.trim()).filter((name) => name !== "");
}

/** Says what comes along because it is needed. */
export function added(chosen: string[]): string[] {
  const names = chosen.map((name) => name.replaceAll("-", "_"));
  return resolveCapabilities(names)
    .filter(({ core, name }) => !core && !names.includes(name))
    .map(({ name }) => {
      const by = optional.filter(({ needs, name: other }) =>
        needs.includes(name) && resolveCapabilities(names).some((each) => each.name === other)
      );
      const needs = by.length > 1 ? "need" : "needs";
      return `${name} comes along: ${by.map((each) => each.name).join(" and ")} ${needs} it.`;
    });
}
