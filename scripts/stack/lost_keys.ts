/** Keys of the functions against those that the database was filled with. */
import { EncryptionError } from "../../supabase/functions/_bulwark/encryption/errors.ts";
import {
  KeyRing,
  type RegisteredKey,
} from "../../supabase/functions/_bulwark/encryption/key_ring.ts";
import { sameBytes } from "../../supabase/functions/_bulwark/foundation/bytes.ts";
import { readSigningKeys } from "../../supabase/functions/_bulwark/audit/keys.ts";
import {
  formatVerifierKey,
  keyId,
  type Signer,
} from "../../supabase/functions/_bulwark/audit/note.ts";
import type { Cluster } from "./cluster.ts";
import { connect, type Sql } from "./connection.ts";
import { parseEnv } from "./env_file.ts";
import { Failure, reason } from "./failure.ts";
import { auditOrigin } from "./functions.ts";
import { append, type Secrets } from "./secrets.ts";

/** How to treat keys that the database was filled with and nobody has any more. */
export interface LostKeys {
  /** Goes on without them instead of failing. */
  goOn: boolean;
  /** Gets a line for each thing that is lost. */
  tell(line: string): void;
}

/**
 * Compares the keys with the fingerprints of those in use: otherwise every encryption and every
 * checkpoint would fail later, each with an error of its own.
 * @throws Failure KEY_LOST, which says what to do
 */
export async function requireKeys(
  cluster: Cluster,
  secrets: { values: Secrets; file: string },
  lost: LostKeys,
): Promise<void> {
  const sql = connect(cluster.url("postgres", secrets.values.databasePassword));
  try {
    await requireEncryptionKeys(sql, secrets.values, lost);
    await requireSigningKey(sql, secrets.values, lost, secrets.file);
  } finally {
    await sql.end();
  }
}

interface KeyInUse extends RegisteredKey {
  id: string;
  data_keys: number;
}

async function requireEncryptionKeys(sql: Sql, secrets: Secrets, lost: LostKeys): Promise<void> {
  const ring = await readable("BULWARK_ENCRYPTION_KEYS", () => new KeyRing(secrets.encryptionKeys));
  const inUse = await sql<KeyInUse[]>`
    select k.id, k.derivation, k.salt, k.rounds::integer, k.check_value as "checkValue",
      k.lost_at is not null as "isLost", k.fault, (
        select count(*) from bulwark_private.data_keys d where d.kek = k.id and d.state <> 'destroyed'
      )::integer as data_keys
    from bulwark_private.key_encryption_keys k
    order by k.registered_at, k.id
  `;
  const unusable = new Set(inUse.filter(({ isLost }) => isLost).map(({ id }) => id));
  for (const key of inUse.filter(({ isLost }) => !isLost)) {
    const fault = await faultOf(ring, key);
    if (fault === null || fault === "lacks" && key.data_keys === 0) continue;
    if (!lost.goOn) {
      throw new Failure(
        "KEY_LOST",
        `Cannot start: BULWARK_ENCRYPTION_KEYS ${fault} ${key.id}, which wraps ` +
          `${key.data_keys} data keys of the database; set it again, or go on without what it ` +
          "encrypted: npm start -- --lost-keys (docs/encryption.md)",
      );
    }
    await sql`select bulwark.declare_key_lost(${key.id})`;
    unusable.add(key.id);
    lost.tell(
      `Key-encryption key ${key.id} is lost: fields under its ${key.data_keys} data keys cannot be read`,
    );
  }
  if (ring.ids[0] !== undefined && !unusable.has(ring.ids[0])) return;
  throw new Failure(
    "KEY_LOST",
    `Cannot start: BULWARK_ENCRYPTION_KEYS begins with ${ring.ids[0]}, which was declared lost; ` +
      "put a key with a new id before it",
  );
}

/** Whether the ring has the key that is registered under an id. */
async function faultOf(
  ring: KeyRing,
  key: KeyInUse,
): Promise<"lacks" | "has another key under the id" | null> {
  const register = {
    find: () => Promise.resolve(key),
    register: () => Promise.resolve(key),
    report: () => Promise.resolve(),
  };
  const identity = { id: crypto.randomUUID(), organizationId: null, purpose: "field" as const };
  try {
    await ring.wrap(key.id, new Uint8Array(32), identity, register);
    return null;
  } catch (thrown) {
    if (!(thrown instanceof EncryptionError)) throw thrown;
    return thrown.fault === "unknown_key_encryption_key" ? "lacks" : "has another key under the id";
  }
}

const retiredKeys = "BULWARK_AUDIT_RETIRED_KEYS";

async function requireSigningKey(
  sql: Sql,
  secrets: Secrets,
  lost: LostKeys,
  file: string,
): Promise<void> {
  const saved = parseEnv(await Deno.readTextFile(file))[retiredKeys] ?? "";
  const retired = Deno.env.get(retiredKeys) ?? saved;
  if (retired !== "") Deno.env.set(retiredKeys, retired);
  const signers = await readable(
    "BULWARK_AUDIT_SIGNING_KEYS",
    () => readSigningKeys(secrets.auditSigningKeys, auditOrigin()),
  );
  const ids = await Promise.all(signers.map(keyId));
  const known = await sql<{ name: string; public_key: Uint8Array }[]>`
    select k.name, k.public_key from bulwark.audit_keys k order by k.registered_at
  `;
  const accepted = await sql`
    select from bulwark_private.audit_key_acceptances a where a.key_id = any (${ids})
  `;
  const isKnown = ({ publicKey }: Signer) =>
    known.some(({ public_key }) => sameBytes(new Uint8Array(public_key), publicKey));
  if (known.length === 0 || accepted.length > 0 || signers.some(isKnown)) return;
  if (!lost.goOn) {
    throw new Failure(
      "KEY_LOST",
      "Cannot start: BULWARK_AUDIT_SIGNING_KEYS has no key that signed the audit log's checkpoints; " +
        "set it again, or go on with a new one: npm start -- --lost-keys (docs/audit-verification.md)",
    );
  }
  const former = await Promise.all(
    known.map(({ name, public_key }) =>
      formatVerifierKey({ name, publicKey: new Uint8Array(public_key) })
    ),
  );
  // Its checkpoints would count as forged without it, and nothing would be signed.
  const all = [...new Set([...retired.split(",").filter(Boolean), ...former])].join(",");
  await append(file, [`${retiredKeys}=${all}`]);
  Deno.env.set(retiredKeys, all);
  for (const id of ids) await sql`select bulwark.accept_audit_key(${id})`;
  lost.tell(`The key that signed checkpoints is lost: from now on ${ids[0]} signs them`);
}

/** @throws Failure BAD_KEY naming the variable, without its value */
async function readable<Value>(name: string, read: () => Value | Promise<Value>): Promise<Value> {
  try {
    return await read();
  } catch (thrown) {
    throw new Failure("BAD_KEY", `Cannot read ${name}: ${reason(thrown)}`);
  }
}
