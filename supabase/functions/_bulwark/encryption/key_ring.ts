/**
 * The key-encryption keys: function secrets that never leave the function. Each has an id. There
 * are several while one replaces another.
 */
import { type Bytes, concat, fromBase64Url, toBase64Url, utf8 } from "../foundation/bytes.ts";
import { lengthPrefixed } from "./bytes.ts";
import { deriveCommittingKey, hkdf, importSecret } from "./derivation.ts";
import { EncryptionError, type EncryptionFault } from "./errors.ts";
import { constantTimeEqual } from "../foundation/constant_time.ts";
import { derivePasswordKey, passwordRounds } from "./random.ts";

/** The registered form of a key-encryption key, which detects a mistyped one. */
export interface RegisteredKey {
  derivation: "raw" | "pbkdf2-sha256";
  /** Base64url; null for a raw key. */
  salt: string | null;
  /** PBKDF2 iterations; null for a raw key. */
  rounds: number | null;
  /** Identifies the registered key without revealing it. */
  checkValue: string;
  /** Whether it was declared lost. */
  isLost?: boolean;
  /** Why it could last not be used. */
  fault?: KeyFault | null;
}

/** Missing among the secrets, or another key under its id. */
export type KeyFault = "missing" | "wrong";

/** Storage of registered keys. */
export interface KeyRegister {
  find(id: string): Promise<RegisteredKey | null>;
  /** Registers a key unless its id is registered, and returns the registered one. */
  register(id: string, key: RegisteredKey): Promise<RegisteredKey>;
  /** Notes that a registered key could not be used, or again can (null). */
  report(id: string, fault: KeyFault | null): Promise<void>;
}

/** An unwrapped data key, kept as briefly as possible. */
export interface DataKeyIdentity {
  id: string;
  /** Null: the system's. */
  organizationId: string | null;
  purpose: "field" | "index";
}

type Secret = { raw: Bytes } | { passphrase: string };

const minimumPassphrase = 20;

/** Wraps and unwraps data keys. */
export class KeyRing {
  readonly #secrets: Map<string, Secret>;
  readonly #opened = new Map<string, Promise<CryptoKey>>();

  /**
   * @param keys `id:base64 of 32 bytes` or `id:passphrase:text of 20 characters or more`, separated
   * by commas, the current one first. Ids have 1 to 32 of a-z, 0-9, _ and -.
   * @throws Error naming the entry by its position, never by its text
   */
  constructor(keys: string) {
    const entries = keys.split(",").map((entry) => entry.trim()).filter((entry) => entry !== "");
    this.#secrets = new Map(entries.map((entry, index) => readEntry(entry, index + 1)));
    if (this.#secrets.size === 0 || this.#secrets.size !== entries.length) {
      throw new Error("Cannot read the key-encryption keys: there is none, or two have one id");
    }
  }

  /** The ids of all keys, the current one first. */
  get ids(): string[] {
    return [...this.#secrets.keys()];
  }

  /**
   * Wraps a data key of 32 bytes: `bwk1.<id>.<salt (32) | commitment (32) | ciphertext and tag>`.
   * Each wrapping has its own key, derived with 256 random bits, so it needs no nonce.
   * @throws EncryptionError unknown_key_encryption_key, wrong_key_encryption_key, key_lost
   */
  async wrap(
    kek: string,
    dataKey: Bytes,
    identity: DataKeyIdentity,
    register: KeyRegister,
  ): Promise<string> {
    const salt = crypto.getRandomValues(new Uint8Array(32));
    const secret = await this.#open(kek, register);
    const { key, commitment } = await deriveCommittingKey(secret, salt, wrapInfo(kek));
    // Its only message.
    const sealed = await key.seal(0, binding(identity), dataKey);
    key.wipe();
    return `bwk1.${kek}.${toBase64Url(concat(salt, commitment, sealed))}`;
  }

  /**
   * Unwraps a data key.
   * @throws EncryptionError malformed, unknown_key_encryption_key, wrong_key_encryption_key, key_lost,
   * tampered
   */
  async unwrap(wrapped: string, identity: DataKeyIdentity, register: KeyRegister): Promise<Bytes> {
    const [, kek = "", encoded = ""] = /^bwk1\.([a-z0-9_-]{1,32})\.([\w-]+)$/.exec(wrapped) ?? [];
    const payload = fromBase64Url(encoded);
    if (payload?.length !== 32 + 32 + 32 + 16) {
      throw new EncryptionError("malformed", `wrapped data key ${identity.id}`);
    }
    const secret = await this.#open(kek, register);
    const salt = payload.subarray(0, 32);
    const { key, commitment } = await deriveCommittingKey(secret, salt, wrapInfo(kek));
    if (!constantTimeEqual(commitment, payload.subarray(32, 64))) {
      throw new EncryptionError("wrong_key_encryption_key", `${kek} for data key ${identity.id}`);
    }
    try {
      return await key.open(0, binding(identity), payload.subarray(64));
    } catch {
      throw new EncryptionError("tampered", `wrapped data key ${identity.id}`);
    } finally {
      key.wipe();
    }
  }

  /**
   * Compares every key with the one that is registered under its id; registers none.
   * @throws EncryptionError wrong_key_encryption_key
   */
  async check(register: KeyRegister): Promise<void> {
    for (const id of this.ids) {
      // A key that was never used is not registered, and there is nothing to compare it with.
      if (await register.find(id)) await this.#open(id, register);
    }
  }

  #open(id: string, register: KeyRegister): Promise<CryptoKey> {
    const known = this.#opened.get(id);
    if (known) return known;
    const opened = this.#derive(id, register);
    this.#opened.set(id, opened);
    // Not cached: a failure of the database may be temporary.
    opened.catch(() => this.#opened.delete(id));
    return opened;
  }

  async #derive(id: string, register: KeyRegister): Promise<CryptoKey> {
    const found = await register.find(id);
    if (found?.isLost) throw new EncryptionError("key_lost", id);
    try {
      const key = await this.#matching(id, found, register);
      if (found?.fault) await register.report(id, null);
      return key;
    } catch (thrown) {
      const fault = thrown instanceof EncryptionError ? faults[thrown.fault] : undefined;
      // An operator sees it there, while functions may be anywhere.
      if (found && fault && fault !== found.fault) await register.report(id, fault);
      throw thrown;
    }
  }

  /** The key of the secret, which must be the registered one. */
  async #matching(
    id: string,
    found: RegisteredKey | null,
    register: KeyRegister,
  ): Promise<CryptoKey> {
    const secret = this.#secrets.get(id);
    if (!secret) throw new EncryptionError("unknown_key_encryption_key", id);
    const first = found ?? proposal(secret);
    let key = await derive(secret, first, id);
    const checkValue = toBase64Url(await hkdf(key, new Uint8Array(), checkInfo(id), 32));
    const kept = found ?? await register.register(id, { ...first, checkValue });
    if (kept.salt !== first.salt) {
      // Another process registered it meanwhile, with another salt.
      key = await derive(secret, kept, id);
      const again = toBase64Url(await hkdf(key, new Uint8Array(), checkInfo(id), 32));
      if (constantTimeEqual(again, kept.checkValue)) return key;
    } else if (constantTimeEqual(checkValue, kept.checkValue)) return key;
    throw new EncryptionError("wrong_key_encryption_key", `${id} is not the key registered`);
  }
}

const faults: Partial<Record<EncryptionFault, KeyFault>> = {
  unknown_key_encryption_key: "missing",
  wrong_key_encryption_key: "wrong",
};
const wrapInfo = (kek: string) => lengthPrefixed("bulwark key wrapping", "bwk1", kek);
const checkInfo = (kek: string) => lengthPrefixed("bulwark key check", kek);

function binding({ id, organizationId, purpose }: DataKeyIdentity): Bytes {
  return lengthPrefixed("bwk1", id, organizationId, purpose);
}

function readEntry(entry: string, place: number): [string, Secret] {
  const [, id = "", form, text = ""] = /^([a-z0-9_-]{1,32}):(passphrase:)?(.+)$/s.exec(entry) ?? [];
  if (form && text.length >= minimumPassphrase) return [id, { passphrase: text }];
  const raw = id && !form ? fromBase64(text) : null;
  if (raw?.length === 32) return [id, { raw }];
  throw new Error(
    `Cannot read key-encryption key ${place}: it is neither id:<base64 of 32 bytes> nor ` +
      `id:passphrase:<${minimumPassphrase} characters or more>`,
  );
}

/** Base64 in either alphabet, with or without padding. */
function fromBase64(text: string): Bytes | null {
  return fromBase64Url(text.replaceAll("+", "-").replaceAll("/", "_").replace(/={1,2}$/, ""));
}

function proposal(secret: Secret): Omit<RegisteredKey, "checkValue"> {
  if ("raw" in secret) return { derivation: "raw", salt: null, rounds: null };
  const salt = toBase64Url(crypto.getRandomValues(new Uint8Array(32)));
  return { derivation: "pbkdf2-sha256", salt, rounds: passwordRounds };
}

async function derive(
  secret: Secret,
  { derivation, salt, rounds }: Omit<RegisteredKey, "checkValue">,
  id: string,
): Promise<CryptoKey> {
  if ("raw" in secret && derivation === "raw") return await importSecret(secret.raw);
  const salted = fromBase64Url(salt ?? "");
  if ("raw" in secret || derivation === "raw" || !salted || rounds === null) {
    throw new EncryptionError("wrong_key_encryption_key", `${id} was registered in another form`);
  }
  return await importSecret(
    await derivePasswordKey(utf8(secret.passphrase), {
      salt: salted,
      rounds,
    }),
  );
}
