/**
 * `npm run release -- <version>`: freezes the migrations as a version, and sets it everywhere. A
 * pre-release that is the newest may be cut again. Commit and tag what it writes.
 */
import { rename } from "node:fs/promises";
import { builtVersion, writeMigrations } from "./building/migrations.ts";
import { frozenVersions, nextFolder, releasesFolder, writeFrozen } from "./building/releases.ts";
import { requireReleasable } from "./building/releasable.ts";
import { parseArguments, wrongUsage } from "./stack/arguments.ts";
import { exists } from "./stack/binaries.ts";
import { documentPath } from "./building/openapi/document.ts";
import { Failure } from "./stack/failure.ts";
import { main } from "./stack/main.ts";
import { inRepository } from "./stack/paths.ts";

await main(async () => {
  const usage = "npm run release -- <version>";
  const { positionals: [version] } = parseArguments({}, usage, { positionals: 1 });
  if (!version) throw wrongUsage("A version is needed", usage);
  const changed = await git("status", "--porcelain");
  requireReleasable(version, {
    frozen: await frozenVersions(),
    changelog: await Deno.readTextFile(inRepository("CHANGELOG.md")),
    isClean: changed === "",
  });
  const [frozen, release, next] = [
    `tests/upgrade/${version}`,
    `${releasesFolder}/${version}`,
    nextFolder,
  ]
    .map((folder) => inRepository(folder)) as [string, string, string];
  // An earlier cut of a pre-release is taken back; what was written by hand for it stays.
  await Deno.remove(frozen, { recursive: true }).catch(() => {});
  if (exists(`${release}/by_hand`)) {
    if (exists(`${next}/by_hand`)) {
      throw new Failure(
        "BY_HAND_TWICE",
        `Cannot cut ${version} again: move ${nextFolder}/by_hand into ${releasesFolder}/${version}/by_hand`,
      );
    }
    await Deno.mkdir(next, { recursive: true });
    await rename(`${release}/by_hand`, `${next}/by_hand`);
  }
  await Deno.remove(release, { recursive: true }).catch(() => {});

  await setVersion(version);
  await writeMigrations();
  const isFirst = (await frozenVersions()).length === 0;
  if (exists(next)) await rename(next, release);
  else if (!isFirst) {
    // A version without a change of the database is a migration too: it sets the version there.
    await Deno.mkdir(release, { recursive: true });
    await Deno.writeTextFile(`${release}/00_foundation.sql`, "-- 00_foundation: no change.\n");
  }
  await writeFrozen(version, await builtVersion());
  await writeMigrations();
  console.log(`${version} is frozen in tests/upgrade/${version}. Commit it:`);
  console.log(`  git add -A && git commit -m "Release ${version}" && git tag v${version}`);
});

/** Writes the version into the manifests, the texts otherwise as they are. */
async function setVersion(version: string): Promise<void> {
  const manifests = [
    ["package.json", 1],
    ["package-lock.json", 2],
    ["clients/js/package.json", 1],
    [documentPath, 1],
  ] as const;
  for (const [name, times] of manifests) {
    const path = inRepository(name);
    let left: number = times;
    // The first ones are the package's own; those of dependencies follow.
    const text = (await Deno.readTextFile(path)).replace(
      /"version": "[^"]*"/g,
      (found) => left-- > 0 ? `"version": "${version}"` : found,
    );
    await Deno.writeTextFile(path, text);
  }
}

async function git(...args: string[]): Promise<string> {
  const command = new Deno.Command("git", { args: ["-C", inRepository(), ...args] });
  const { success, stdout, stderr } = await command.output();
  if (!success) throw new Failure("GIT_FAILED", new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trim();
}
