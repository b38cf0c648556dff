import { Failure } from "../stack/failure.ts";
import { compareVersions, isVersion } from "./upgrade_text.ts";

/** The state of a repository that is to be released. */
export interface Releasable {
  /** The frozen versions, the newest last. */
  frozen: readonly string[];
  changelog: string;
  /** Whether everything is committed. */
  isClean: boolean;
}

/**
 * Refuses a version that is none, is not the newest, exists (unless it is the newest pre-release,
 * which may be cut again) or is missing in the changelog, and a repository with uncommitted changes.
 * @throws Failure saying which
 */
export function requireReleasable(version: string, state: Releasable): void {
  const refuse = (reason: string) => {
    throw new Failure("NOT_RELEASABLE", `Cannot release ${version || "nothing"}: ${reason}`);
  };
  if (!isVersion(version)) refuse("npm run release -- <version>, such as 0.1.0 or 0.1.0-alpha.1");
  const newest = state.frozen.at(-1);
  if (newest !== undefined) {
    const order = compareVersions(version, newest);
    if (order < 0) refuse(`${newest} is newer`);
    if (order === 0 && !version.includes("-")) {
      refuse("it is released, and a release never changes");
    }
  }
  if (!state.changelog.split("\n").some((line) => line.startsWith(`## [${version}]`))) {
    refuse(`CHANGELOG.md has no heading ## [${version}]`);
  }
  if (!state.isClean) refuse("there are uncommitted changes");
}
