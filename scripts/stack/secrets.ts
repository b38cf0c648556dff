import { generateKeyPairSync } from "node:crypto";
import { exists } from "./binaries.ts";
import { parseEnv } from "./env_file.ts";
import { Failure } from "./failure.ts";
import type { LostKeys } from "./lost_keys.ts";

/** How one secret is called in the environment, and how it is made. */
interface Secret {
  name: string;
  generate(): string;
  /** Whether the edge functions get it under the same name. */
  forFunctions?: true;
  /** Whether data of the database is worth nothing, or less, without this very one. */
  boundToData?: true;
  /** How another is made after that one was lost, if not in the same way. */
  replace?(): string;
}

const definitions = {
  publishableKey: {
    name: "SUPABASE_PUBLISHABLE_KEY",
    generate: () => `sb_publishable_${token(24)}`,
  },
  secretKey: { name: "SUPABASE_SECRET_KEY", generate: () => `sb_secret_${token(32)}` },
  jwtSecret: { name: "SUPABASE_JWT_SECRET", generate: () => token(48) },
  databasePassword: {
    name: "POSTGRES_PASSWORD",
    generate: () => token(24),
    boundToData: true,
  },
  demoPassword: { name: "BULWARK_DEMO_PASSWORD", generate: () => `Demo-${token(12)}` },
  schedulerSecret: {
    name: "BULWARK_SCHEDULER_SECRET",
    generate: () => token(43),
    forFunctions: true,
  },
  auditSigningKeys: {
    name: "BULWARK_AUDIT_SIGNING_KEYS",
    generate: key,
    forFunctions: true,
    boundToData: true,
  },
  encryptionKeys: {
    name: "BULWARK_ENCRYPTION_KEYS",
    // Two, so that one can replace the other without a restart.
    generate: () => `local-1:${key()},local-2:${key()}`,
    // An id is never another key's.
    replace: () => `local-${crypto.randomUUID().slice(0, 8)}:${key()}`,
    forFunctions: true,
    boundToData: true,
  },
  mfaPepper: {
    name: "BULWARK_MFA_PEPPER",
    generate: () => token(43),
    forFunctions: true,
    boundToData: true,
  },
  scannerPrivateKey: { name: "BULWARK_SCANNER_PRIVATE_KEY", generate: p256PrivateKey },
  metricsToken: {
    name: "BULWARK_METRICS_TOKEN",
    generate: () => token(43),
    forFunctions: true,
  },
} satisfies Record<string, Secret>;

type Key = keyof typeof definitions;

/** The secrets of one local stack; `.env.example` explains each. */
export type Secrets = Record<Key, string>;

const all = Object.entries(definitions) as [Key, Secret][];

/**
 * Reads the stack's secrets, making those that are missing and keeping them in `file`, which only
 * its owner may read. The environment comes first, which includes the repository's `.env`.
 * @param data of a database that was made with the secrets: those that its data depends on are only
 * made anew where it is to go on without the lost ones
 * @throws Failure SECRETS_LOST
 */
export async function loadSecrets(
  file: string,
  data: { exists: boolean; lost: LostKeys } | null = null,
): Promise<Secrets> {
  const saved = exists(file) ? parseEnv(await Deno.readTextFile(file)) : {};
  const given = ({ name }: Secret) => Deno.env.get(name) ?? saved[name];
  const lost = all.map(([, secret]) => secret).filter((secret) =>
    data?.exists && secret.boundToData && given(secret) === undefined
  );
  if (data) admitLoss(lost.map(({ name }) => name), file, data.lost);
  const generated: string[] = [];
  const value = (secret: Secret): string => {
    const known = given(secret);
    if (known !== undefined) return known;
    const made = lost.includes(secret) && secret.replace ? secret.replace() : secret.generate();
    generated.push(`${secret.name}=${made}`);
    return made;
  };
  const secrets = Object.fromEntries(all.map(([key, secret]) => [key, value(secret)])) as Secrets;
  if (generated.length > 0) await append(file, generated);
  validate(secrets);
  return secrets;
}

/** The secrets that edge functions get, by the names of their variables. */
export function functionSecrets(secrets: Secrets): Record<string, string> {
  return Object.fromEntries(
    all.filter(([, { forFunctions }]) => forFunctions)
      .map(([key, { name }]) => [name, secrets[key]]),
  );
}

/** Refuses to make secrets anew that data depends on, unless that data is given up. */
function admitLoss(names: string[], file: string, { goOn, tell }: LostKeys): void {
  const isPassword = names.includes(definitions.databasePassword.name);
  if (names.length > 0 && (!goOn || isPassword)) {
    throw new Failure(
      "SECRETS_LOST",
      `Cannot start: ${names.join(", ")} ${names.length > 1 ? "are" : "is"} not set, and the ` +
        `database was filled with ${names.length > 1 ? "them" : "it"}; restore ${file}, or ` +
        (isPassword
          ? "start over with npm start -- --reset"
          : "go on without what depends on it: npm start -- --lost-keys (docs/encryption.md)"),
    );
  }
  if (names.includes(definitions.mfaPepper.name)) {
    tell("The pepper of MFA backup codes is lost: no backup code is valid any more");
  }
}

/** Adds lines to a file that only its owner can read. */
export async function append(file: string, lines: string[]): Promise<void> {
  await Deno.writeTextFile(file, lines.join("\n") + "\n", { append: true, mode: 0o600 });
  await Deno.chmod(file, 0o600);
}

function validate(secrets: Secrets): void {
  if (secrets.jwtSecret.length < 32) {
    throw new Failure("WEAK_SECRET", "SUPABASE_JWT_SECRET must have at least 32 characters");
  }
  for (
    const [key, prefix] of [["publishableKey", "sb_publishable_"], [
      "secretKey",
      "sb_secret_",
    ]] as const
  ) {
    if (secrets[key].startsWith(prefix)) continue;
    throw new Failure("BAD_KEY", `${definitions[key].name} must start with ${prefix}`);
  }
}

/** 32 random bytes in base64: an Ed25519 seed (RFC 8032), or a key-encryption key. */
function key(): string {
  return btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(32))));
}

/** A private key for ECDSA on P-256: base64 of PKCS #8. */
function p256PrivateKey(): string {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return privateKey.export({ type: "pkcs8", format: "der" }).toString("base64");
}

/** Random characters that are safe in URLs, files and shells: 6 bits each. */
function token(length: number): string {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const bytes = crypto.getRandomValues(new Uint8Array(length));
  return Array.from(bytes, (byte) => alphabet[byte & 63]).join("");
}
