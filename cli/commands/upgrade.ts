import { compareVersions } from "../../scripts/building/upgrade_text.ts";
import { commonHelp, commonOptions, parse } from "../arguments.ts";
import { carryOut } from "../carrying_out.ts";
import { fileClashes } from "../clashes.ts";
import { contentsFor } from "../contents.ts";
import { appliedVersions, withDatabase } from "../database.ts";
import { CliError } from "../errors.ts";
import { requireLock } from "../lock.ts";
import type { Command } from "../main.ts";
import { difference } from "../merge.ts";
import { planInstallation } from "../planning.ts";
import { findProject } from "../project.ts";
import type { Terminal } from "../terminal.ts";
import {
  besidePath,
  editedByBoth,
  type EditedFile,
  type Resolution,
  upgradeMigrations,
} from "../upgrading.ts";

/** `bulwark upgrade`. */
export const upgrade: Command = {
  summary: "brings an installation to this version",
  help: `Usage: bulwark upgrade [options]

Writes the migrations of the versions in between, and the functions of this version. For a file that
you edited it shows your text merged with the new one, and asks. Changes that do not fit together are
written beside your file, which stays; the exit code is 1 then. With --yes clean merges are taken.

${commonHelp}`,
  async run(args, terminal) {
    const { values } = parse(args, commonOptions);
    const project = findProject(values.workdir);
    const lock = requireLock(project);
    const contents = contentsFor(lock.capabilities);
    if (compareVersions(contents.version, lock.version) < 0) {
      throw new CliError(
        "CLI_OTHER_VERSION",
        `Bulwark ${lock.version} is installed and this is ${contents.version}: ` +
          "install the newer package",
      );
    }
    const applied = values.db === undefined ? [] : await withDatabase(values.db, appliedVersions);
    const way = { dryRun: values["dry-run"], yes: values.yes };
    const asks = terminal.interactive && !way.dryRun && !way.yes;
    const resolutions: Resolution[] = [];
    for (const file of editedByBoth(project, lock, contents)) {
      resolutions.push(await resolve(file, contents.version, terminal, asks));
    }
    const upgrades = upgradeMigrations(lock.version, contents.version, lock.capabilities);
    const title = lock.version === contents.version
      ? `Bulwark ${contents.version} is installed`
      : `Bulwark ${lock.version} becomes ${contents.version}`;
    const now = new Date();
    const plan = planInstallation(title, {
      ...{ project, contents, lock, applied, now, resolutions, upgrades },
    });
    plan.clashes = fileClashes(project, contents, lock);
    plan.next = plan.changes.length === 0 ? [] : [
      "Next:",
      "  supabase db push --remote",
      `  supabase functions deploy ${contents.functionNames.join(" ")}`,
    ];
    const code = await carryOut(project, plan, way, terminal);
    return resolutions.some((each) => each.text === null && each.beside) ? 1 : code;
  },
};

/** Decides about an edited file: shows the difference, and asks if it may. */
async function resolve(
  file: EditedFile,
  version: string,
  terminal: Terminal,
  asks: boolean,
): Promise<Resolution> {
  const { path, mine, merged, conflict, shipped } = file;
  if (conflict) return { path, text: null, beside: merged };
  terminal.print(difference(path, mine, merged));
  if (!asks) return { path, text: merged };
  const choice = await terminal.select(`${path} is edited. Which is to stand?`, [
    { value: "merged", label: `Yours with the changes of ${version}`, hint: "shown above" },
    {
      value: "mine",
      label: "Yours as it is",
      hint: `written beside: ${besidePath(path, version)}`,
    },
    { value: "shipped", label: `That of ${version}`, hint: "your changes are lost" },
  ]);
  if (choice === "mine") return { path, text: null, beside: shipped };
  return { path, text: choice === "merged" ? merged : shipped };
}
