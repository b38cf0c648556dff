/**
 * The capabilities: the one list that the installer, the conventions and the tests of subsets read.
 * It is plain data without imports, so that any program can use it.
 */

/** A capability of Bulwark. */
export interface Capability {
  /** The noun that names all of its folders. */
  name: string;
  /** Its folder in supabase/schemas, which is also the name of its migration. */
  folder: string;
  /** Its purpose, in one line. */
  description: string;
  /** Installed always. */
  core: boolean;
  /** The capabilities beyond the core that must be installed before it. */
  needs: readonly string[];
  /** Its edge functions: folders of supabase/functions. */
  functions: readonly string[];
  /** Whether it has a folder in supabase/functions/_bulwark. */
  shared: boolean;
}

/**
 * The last migration. It is not a capability: each installation ends with it, and so does each later
 * addition of a capability, as a migration of its own.
 */
export const start = { name: "start", folder: "59_start" } as const;

/** All capabilities, in the order of installation. */
export const capabilities: readonly Capability[] = [
  {
    name: "foundation",
    folder: "00_foundation",
    description: "Settings, jobs and sessions, on which the others stand",
    core: true,
    needs: [],
    functions: [],
    shared: true,
  },
  {
    name: "rbac",
    folder: "01_rbac",
    description: "Organizations, roles and permissions",
    core: true,
    needs: [],
    functions: ["bulwark-rbac"],
    shared: true,
  },
  {
    name: "audit",
    folder: "02_audit",
    description: "Tamper-evident audit log",
    core: true,
    needs: [],
    functions: ["bulwark-audit"],
    shared: true,
  },
  {
    name: "encryption",
    folder: "03_encryption",
    description: "Encrypted fields whose keys never enter Postgres",
    core: false,
    needs: [],
    functions: ["bulwark-encryption"],
    shared: true,
  },
  {
    name: "security_events",
    folder: "04_security_events",
    description: "Incidents to review, assign and resolve",
    core: true,
    needs: [],
    functions: [],
    shared: false,
  },
  {
    name: "mfa",
    folder: "05_mfa",
    description: "Second factor, step-up and organizations that require it",
    core: false,
    needs: ["encryption"],
    functions: ["bulwark-mfa"],
    shared: true,
  },
  {
    name: "rate_limits",
    folder: "06_rate_limits",
    description: "Limits on requests and logins, and blocks for repeated abuse",
    core: false,
    needs: [],
    functions: ["bulwark-login"],
    shared: true,
  },
  {
    name: "api_keys",
    folder: "07_api_keys",
    description: "Members' keys for programs, under row-level security",
    core: false,
    needs: ["mfa", "rate_limits"],
    functions: ["bulwark-api-keys"],
    shared: true,
  },
  {
    name: "metrics",
    folder: "08_metrics",
    description: "Histograms for Prometheus, and alerts",
    core: false,
    needs: [],
    functions: ["bulwark-metrics"],
    shared: true,
  },
  {
    name: "cache",
    folder: "09_cache",
    description: "Cached permissions and reads of edge functions",
    // The functions of rbac ask it what a caller may do.
    core: true,
    needs: [],
    functions: [],
    shared: true,
  },
  {
    name: "webhooks",
    folder: "10_webhooks",
    description: "Signed events for other services, delivered at least once",
    core: false,
    needs: ["encryption"],
    functions: ["bulwark-webhooks"],
    shared: true,
  },
  {
    name: "restores",
    folder: "11_restores",
    description: "Repairs what upgrades and backups lose or leave open",
    core: true,
    needs: [],
    functions: [],
    shared: false,
  },
  {
    name: "compliance",
    folder: "12_compliance",
    description: "Evidence for auditors: signed reports about access, acts and the log",
    core: false,
    needs: ["api_keys"],
    functions: ["bulwark-compliance"],
    shared: true,
  },
];

/**
 * The capabilities of these names with the core and all that they need, in the order of installation.
 * The start, with which each installation ends, is not among them.
 * @throws Error naming a capability that does not exist
 */
export function closure(names: readonly string[]): Capability[] {
  const wanted = new Set<string>();
  const add = (name: string) => {
    const capability = capabilities.find((candidate) => candidate.name === name);
    if (!capability) throw new Error(`Cannot install ${name}: there is no such capability`);
    wanted.add(name);
    capability.needs.forEach(add);
  };
  capabilities.filter(({ core }) => core).forEach(({ name }) => add(name));
  names.forEach(add);
  return capabilities.filter(({ name }) => wanted.has(name));
}

/**
 * Folders of `supabase/functions/_bulwark` that each installation gets, because foundation or one of
 * them imports them. Their code calls the database only for an installed capability: see
 * `_bulwark/foundation/installed.ts`.
 */
export const sharedAlways: readonly string[] = ["encryption", "metrics", "rate_limits"];

/** The folders of supabase/functions that an installation of these capabilities gets. */
export function functionFolders(names: readonly string[]): string[] {
  const chosen = closure(names);
  const shared = capabilities
    .filter((each) => each.shared && (chosen.includes(each) || sharedAlways.includes(each.name)))
    .map(({ name }) => `_bulwark/${name}`);
  return [...shared, ...chosen.flatMap(({ functions }) => functions)];
}

/** The text of `_bulwark/foundation/installed.ts`, which names what an installation has. */
export function installedModule(names: readonly string[]): string {
  const listed = closure(names).map(({ name }) => `  "${name}",\n`).join("");
  return [
    "/** The capabilities that are installed. The installer writes this file. */\n",
    `export const installed: ReadonlySet<string> = new Set([\n${listed}]);\n`,
  ].join("");
}
