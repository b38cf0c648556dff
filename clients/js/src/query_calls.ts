import type { Client } from "./client.ts";

/** The names of the namespaces of a client. */
export type Namespace = {
  [Name in keyof Client<true>]: Client<true>[Name] extends (...args: never) => unknown ? never
    : Name;
}[keyof Client<true>];

/** A part that a call changes beside its own namespace. */
type Area = Namespace | "whoami" | "permissions" | "everything";

type Table = {
  readonly [Space in Namespace]: {
    readonly reads: readonly (keyof Client<true>[Space])[];
    readonly writes: { readonly [Call in keyof Client<true>[Space]]?: readonly Area[] };
  };
};

/** Roles decide about permissions, and each list of people shows roles. */
const roles = ["whoami", "permissions", "members", "roles", "mfa", "apiKeys"] as const;
/** A session that satisfies MFA, or no longer does, sees more, or less, everywhere. */
const session = ["everything"] as const;

/** The calls that read, and those that write. Streams are in neither. */
export const queryCalls = {
  organizations: {
    reads: ["list", "get"],
    writes: { create: roles, update: ["whoami"], leave: session, delete: session },
  },
  members: {
    reads: ["list", "names", "grants"],
    writes: { setRoles: roles, remove: [...roles, "security"] },
  },
  invitations: {
    reads: ["list", "mine", "preview"],
    writes: {
      create: [],
      resend: [],
      revoke: [],
      accept: session,
      acceptMine: session,
      decline: [],
    },
  },
  roles: {
    reads: ["list", "permissions", "contents", "inheritance", "of", "explain"],
    writes: { create: roles, update: roles, delete: roles, grant: roles, revoke: roles },
  },
  mfa: {
    reads: ["status", "required", "policy", "compliance", "usage", "resets"],
    writes: {
      enroll: [],
      activate: session,
      verify: session,
      verifyBackupCode: session,
      newBackupCodes: [],
      disable: session,
      trustDevice: session,
      presentDevice: session,
      revokeDevice: session,
      setPolicy: session,
      requestReset: [],
      approveReset: [],
      cancelReset: [],
    },
  },
  audit: {
    reads: [
      "search",
      "get",
      "histogram",
      "tail",
      "coverage",
      "verify",
      "proof",
      "consistency",
      "checkpoint",
      "status",
      "types",
      "holds",
    ],
    writes: { log: [], placeHold: [], releaseHold: [], erase: [] },
  },
  apiKeys: {
    reads: ["list", "options", "policy"],
    writes: { create: ["limits"], rotate: ["limits"], revoke: ["limits"], setPolicy: [] },
  },
  security: { reads: ["list", "open", "types"], writes: { assign: [], resolve: [] } },
  limits: {
    reads: ["rules", "usage", "overrides", "networks", "blocks"],
    writes: { set: [], clear: [], listNetwork: [], unlistNetwork: [], liftBlock: [] },
  },
  webhooks: {
    reads: [
      "list",
      "get",
      "subscriptions",
      "health",
      "stats",
      "preview",
      "deliveries",
      "attempts",
    ],
    writes: {
      create: [],
      update: [],
      move: [],
      rotateSecret: [],
      test: [],
      enable: [],
      disable: [],
      delete: [],
      replay: [],
      replayRange: [],
    },
  },
  metrics: {
    reads: ["list", "read", "health", "topQueries", "alerts"],
    writes: { setAlert: [], deleteAlert: [] },
  },
  encryption: {
    reads: ["decrypt", "find", "overview", "progress", "keys"],
    writes: { encrypt: [], rotate: [], retry: [], shred: [] },
  },
  sessions: { reads: ["list"], writes: { end: [] } },
  // Reports and exports are on record, so none is made unasked.
  compliance: { reads: [], writes: { subject: [], report: [], signedReport: [] } },
  reviews: {
    reads: ["list", "items"],
    writes: { start: [], keep: [], end: roles, close: [] },
  },
  settings: { reads: ["list"], writes: { set: ["everything"] } },
} as const satisfies Table;
