/** The variables of the edge functions for local use, in supabase/functions/.env. */
import { randomBytes } from "node:crypto";

/** A variable that local functions need. */
export interface Variable {
  name: string;
  /** The capabilities that read it. */
  for: string[];
  comment: string;
  generate(): string;
}

export const envPath = "supabase/functions/.env";

const variables: Variable[] = [
  {
    name: "BULWARK_SCHEDULER_SECRET",
    for: ["foundation"],
    comment: "Sent by scheduled jobs that call functions.",
    generate: token,
  },
  {
    name: "BULWARK_AUDIT_SIGNING_KEYS",
    for: ["audit"],
    comment: "Signs the checkpoints of the audit log: an Ed25519 seed.",
    generate: key,
  },
  {
    name: "BULWARK_ENCRYPTION_KEYS",
    for: ["encryption", "mfa", "webhooks"],
    comment: "Wraps the data keys. Encrypted values are lost without it.",
    // A new file must not give the id of a key that is lost to another key.
    generate: () => `local-${randomBytes(4).toString("hex")}:${key()}`,
  },
  {
    name: "BULWARK_MFA_PEPPER",
    for: ["mfa"],
    comment: "Keys the hashes of backup codes.",
    generate: token,
  },
  {
    name: "BULWARK_METRICS_TOKEN",
    for: ["metrics"],
    comment: "Sent by the scraper of metrics.",
    generate: token,
  },
];

/** The variables that these capabilities need. */
export function variablesFor(capabilities: string[]): Variable[] {
  return variables.filter((variable) => variable.for.some((name) => capabilities.includes(name)));
}

/** The .env file with the variables that it lacks. A name that is there, even empty, stays. */
export function extendEnv(
  text: string | null,
  wanted: Variable[],
): { text: string; added: string[] } {
  const present = new Set(
    [...(text ?? "").matchAll(/^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=/gm)].map(([, name]) => name),
  );
  const missing = wanted.filter(({ name }) => !present.has(name));
  if (missing.length === 0) return { text: text ?? "", added: [] };
  const end = text?.includes("\r\n") ? "\r\n" : "\n";
  const lines = missing.flatMap(({ name, comment, generate }) => [
    `# Bulwark, local use only. ${comment}`,
    `${name}=${generate()}`,
  ]);
  const before = text === null || text === "" ? "" : text + (text.endsWith("\n") ? "" : end) + end;
  return { text: before + lines.join(end) + end, added: missing.map(({ name }) => name) };
}

/** The .env file without the variables that Bulwark wrote. */
export function reduceEnv(text: string, names: string[]): string {
  const end = text.includes("\r\n") ? "\r\n" : "\n";
  const lines = text.split(/\r?\n/);
  const kept: string[] = [];
  for (const line of lines) {
    const name = /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=/.exec(line)?.[1];
    if (name === undefined || !names.includes(name)) {
      kept.push(line);
    } else if (kept.at(-1)?.startsWith("# Bulwark, local use only.")) {
      kept.pop();
    }
  }
  return kept.join(end).replace(/(\r?\n){2,}$/, end).replace(/^\s+$/, "");
}

/** 32 random bytes in base64. */
function key(): string {
  return randomBytes(32).toString("base64");
}

/** 256 random bits that are safe in URLs, files and shells. */
function token(): string {
  return randomBytes(32).toString("base64url");
}
