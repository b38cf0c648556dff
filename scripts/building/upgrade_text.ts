/**
 * The text of an upgrade. Without imports, so that the command `bulwark` can use it.
 */

/**
 * The migration that upgrades a project to a version, from the parts of its capabilities in their
 * order. One migration is one transaction: nobody meets half of it. While it runs no seal is made,
 * and at its end what protects the log is accepted as it is, so that the sealer raises no alarm.
 * A table that is busy fails it after five seconds, instead of blocking everybody behind it.
 */
export function upgradeText(version: string, parts: readonly string[]): string {
  return [
    `-- Bulwark ${version}: upgrade.`,
    "set local lock_timeout = '5s';",
    "set local check_function_bodies = off;",
    "select pg_advisory_xact_lock(hashtextextended('bulwark.audit_seals', 0));",
    "",
    ...parts,
    `update bulwark_private.capabilities set version = '${version}' where version <> '${version}';`,
    // Default privileges open the sequences of new identity columns.
    "do $$",
    "declare",
    "  v_sequence regclass;",
    "begin",
    "  for v_sequence in select p.oid from bulwark_private.present_privileges p",
    "    where p.kind = 'sequence' and p.grants <> '{}' loop",
    "    execute format(",
    "      'revoke all on sequence %s from public, anon, authenticated, service_role, api_key',",
    "      v_sequence",
    "    );",
    "  end loop;",
    "end;",
    "$$;",
    "select bulwark_private.renew_audit_functions(true);",
    "select bulwark_private.remember_privileges();",
    "select bulwark.refresh_audit_fingerprints();",
    "select bulwark.schedule_jobs();",
    "",
  ].join("\n");
}

/** Orders versions as Semantic Versioning does: a pre-release comes before its release. */
export function compareVersions(one: string, other: string): number {
  const [[core, pre], [otherCore, otherPre]] = [partsOf(one), partsOf(other)];
  const byCore = compareLists(core, otherCore);
  if (byCore !== 0) return byCore;
  if (pre.length === 0 || otherPre.length === 0) return otherPre.length - pre.length;
  return compareLists(pre, otherPre);
}

/** Whether a text is a version, `1.2.3` or `1.2.3-alpha.1`. */
export function isVersion(text: string): boolean {
  const number = "(0|[1-9]\\d*)";
  const word = `(${number}|[0-9]*[a-z-][0-9a-z-]*)`;
  return new RegExp(`^${number}\\.${number}\\.${number}(-${word}(\\.${word})*)?$`).test(text);
}

function partsOf(version: string): [string[], string[]] {
  const [core = "", ...pre] = version.split("-");
  return [core.split("."), pre.length === 0 ? [] : pre.join("-").split(".")];
}

function compareLists(one: string[], other: string[]): number {
  for (let at = 0; at < Math.max(one.length, other.length); at++) {
    const [a, b] = [one[at], other[at]];
    if (a === undefined || b === undefined) return a === undefined ? -1 : 1;
    const [aIsNumber, bIsNumber] = [/^\d+$/.test(a), /^\d+$/.test(b)];
    if (aIsNumber && bIsNumber && a !== b) return Number(a) - Number(b);
    if (aIsNumber !== bIsNumber) return aIsNumber ? -1 : 1;
    if (a !== b) return a < b ? -1 : 1;
  }
  return 0;
}
