/**
 * Data keys, unwrapped and cached for a limited time and number of uses. One cache may serve many
 * requests. Data keys cannot be exported from WebCrypto; the keys derived from them for messages are
 * also in memory as bytes, which are zeroed when the cache lets go of them.
 */
import { LRUCache } from "lru-cache";
import { type Bytes } from "../foundation/bytes.ts";
import type { AesGcmKey } from "./aes_gcm.ts";
import { shortId } from "./bytes.ts";
import { importSecret } from "./derivation.ts";
import { EncryptionError } from "./errors.ts";
import { canonicalId, type FieldAddress } from "./format.ts";
import type { DataKeyIdentity, KeyRegister, KeyRing } from "./key_ring.ts";
import { OpenDataKey } from "./open_data_key.ts";

/** A data key as stored. */
export interface StoredDataKey extends DataKeyIdentity {
  version: number;
  /** Null if destroyed. */
  wrapped: string | null;
}

/** Result of a reservation. */
export interface Reservation {
  /** The current key; null if there is none yet. */
  key: StoredDataKey | null;
  /** Number of reserved messages: as requested, or the rest of the key's limit. */
  granted: number;
  /** The key-encryption key for new data keys; null: the first one. */
  kek: string | null;
}

/** Storage of wrapped data keys. */
export interface DataKeyStore extends KeyRegister {
  /** The current key, with this many messages reserved for the caller. */
  reserve(
    organizationId: string | null,
    purpose: DataKeyIdentity["purpose"],
    messages: number,
  ): Promise<Reservation>;
  /** Makes a key the current one, unless `after` is no longer the current version. */
  add(key: StoredDataKey & { wrapped: string }, after: number): Promise<void>;
  /** The existing ones of these keys, including destroyed ones. */
  read(ids: readonly string[]): Promise<StoredDataKey[]>;
  /** All index keys of an organization that are not destroyed, the current one first. */
  indexKeys(organizationId: string | null): Promise<StoredDataKey[]>;
}

/** Limits of a cached key's time and uses. */
export interface CacheBounds {
  /** Milliseconds. */
  lifetime: number;
  uses: number;
  /** Number of cached data keys; the least recently used is evicted first. */
  keys: number;
}

export const defaultBounds: CacheBounds = { lifetime: 300_000, uses: 2 ** 20, keys: 1000 };

/** One message's number under a derived key, used once. */
export interface MessageSlot {
  key: AesGcmKey;
  keyId: string;
  /** The text before the message: the data key's prefix and the key part. */
  start: string;
  message: number;
  /** The additional data of a column under this key. */
  binding(column: Omit<FieldAddress, "primaryKey">): Bytes;
}

/** The keys for encrypting and decrypting fields. */
export interface DataKeys {
  /** A slot for a message of an organization (null: the system), synchronously if cached. */
  slot(organizationId: string | null): MessageSlot | Promise<MessageSlot>;
  /**
   * The data key named in a value, which must belong to this organization.
   * @throws EncryptionError unknown_key, key_destroyed, wrong_organization
   */
  open(id: string, organizationId: string | null): OpenDataKey | Promise<OpenDataKey>;
  /** The organization's index keys, the current one first; not cached, for searches. */
  indexKeys(organizationId: string | null, create: boolean): Promise<OpenDataKey[]>;
  /** Evicts some keys from the cache, or all. */
  forget(ids?: readonly string[]): void;
  /** Evicts an organization's keys, so that the next use asks the database. */
  forgetOrganization(organizationId: string | null): void;
  /** The key ring that wraps the data keys. */
  readonly ring: KeyRing;
  readonly store: DataKeyStore;
}

/** A derived key used for encryption by this process only, and its reserved messages. */
interface Session {
  key: OpenDataKey;
  subkey: AesGcmKey;
  start: string;
  /** Only increases. The derived key ends with the session. */
  next: number;
  reserved: number;
  block: number;
}

/** Size of the first reservation; each further one is twice as large, up to the largest. */
const firstBlock = 1024;
const largestBlock = 65_536;

/** Stands for no organization, as the key of a map. */
const system = "";

/** Keys from a store, unwrapped with a ring. */
export class CachedDataKeys implements DataKeys {
  readonly #keys: LRUCache<string, OpenDataKey>;
  readonly #sessions: LRUCache<string, Session>;
  readonly #filling = new Map<string | null, Promise<void>>();
  readonly #indexes: LRUCache<string, { keys: OpenDataKey[]; expires: number }>;

  constructor(
    readonly ring: KeyRing,
    readonly store: DataKeyStore,
    readonly bounds: CacheBounds = defaultBounds,
    readonly now: () => number = () => performance.now(),
  ) {
    this.#keys = new LRUCache({ max: bounds.keys, dispose: (key) => this.#close(key) });
    this.#sessions = new LRUCache({ max: bounds.keys });
    this.#indexes = new LRUCache({ max: bounds.keys });
  }

  slot(owner: string | null): MessageSlot | Promise<MessageSlot> {
    const organizationId = canonicalId(owner);
    const session = this.#sessions.get(organizationId ?? system);
    // No await between reading and incrementing, so no two messages get the same number.
    if (session && session.next < session.reserved && this.#usable(session.key)) {
      return take(session);
    }
    return this.#waitForSlot(organizationId);
  }

  async #waitForSlot(organizationId: string | null): Promise<MessageSlot> {
    for (;;) {
      let filling = this.#filling.get(organizationId);
      if (!filling) {
        filling = this.#fill(organizationId)
          .finally(() => this.#filling.delete(organizationId));
        this.#filling.set(organizationId, filling);
      }
      await filling;
      const session = this.#sessions.get(organizationId ?? system);
      if (session && session.next < session.reserved && this.#usable(session.key)) {
        return take(session);
      }
    }
  }

  /** Reserves messages for an organization's session, and starts one if needed. */
  async #fill(organizationId: string | null): Promise<void> {
    const old = this.#sessions.get(organizationId ?? system);
    const block = old ? Math.min(old.block * 2, largestBlock) : firstBlock;
    const { key: stored, granted } = await this.#reserve(organizationId, "field", block);
    if (
      old && old.key.identity.id === stored.id && this.#usable(old.key) &&
      old.reserved + granted < 2 ** 32
    ) {
      old.reserved += granted;
      old.block = block;
      return;
    }
    const key = await this.#unwrap(stored);
    const { key: subkey, keyPart } = await key.newSubkey();
    const start = key.prefix + keyPart;
    const session = { key, subkey, start, next: 0, reserved: granted, block };
    this.#sessions.set(organizationId ?? system, session);
  }

  /**
   * The current key with reserved messages. Creates one if there is none or its limit is reached.
   */
  async #reserve(
    organizationId: string | null,
    purpose: DataKeyIdentity["purpose"],
    messages: number,
  ): Promise<{ key: StoredDataKey; granted: number }> {
    for (;;) {
      const { key, granted, kek } = await this.store.reserve(organizationId, purpose, messages);
      if (key && (granted > 0 || messages === 0)) return { key, granted };
      await this.addVersion(organizationId, purpose, key?.version ?? 0, kek);
    }
  }

  /**
   * Creates a data key and makes it the current one, unless a concurrent call did so after `after`.
   * Returns the id of the current one.
   */
  async addVersion(
    owner: string | null,
    purpose: DataKeyIdentity["purpose"],
    after: number,
    kek: string | null,
  ): Promise<string> {
    // The wrapping is bound to the id, so the id stored in the database is used.
    const identity = { id: crypto.randomUUID(), organizationId: canonicalId(owner), purpose };
    const secret = crypto.getRandomValues(new Uint8Array(32));
    const wrapped = await this.ring.wrap(kek ?? this.ring.ids[0]!, secret, identity, this.store);
    secret.fill(0);
    await this.store.add({ ...identity, version: after + 1, wrapped }, after);
    return identity.id;
  }

  open(id: string, owner: string | null): OpenDataKey | Promise<OpenDataKey> {
    const organizationId = canonicalId(owner);
    const cached = this.#keys.get(id);
    if (cached && this.#usable(cached)) {
      cached.usesLeft--;
      requireSameOwner(id, cached.identity.organizationId, organizationId);
      return cached;
    }
    return this.#fetch(id, organizationId);
  }

  readonly #reading = new Map<
    string,
    Promise<{ owner: string | null; key: Promise<OpenDataKey> }>
  >();

  async #fetch(id: string, organizationId: string | null): Promise<OpenDataKey> {
    let reading = this.#reading.get(id);
    if (!reading) {
      reading = this.#read(id);
      this.#reading.set(id, reading);
      const done = () => this.#reading.delete(id);
      reading.then(({ key }) => key).then(done, done);
    }
    const { owner, key } = await reading;
    // Checked before the key is unwrapped: another organization's key may have faults of its own,
    // which must not be reported here.
    requireSameOwner(id, owner, organizationId);
    return await key;
  }

  async #read(id: string) {
    const [stored] = await this.store.read([id]);
    if (stored?.purpose !== "field") throw new EncryptionError("unknown_key", id);
    return { owner: stored.organizationId, key: this.#unwrap(stored) };
  }

  async indexKeys(owner: string | null, create: boolean): Promise<OpenDataKey[]> {
    const organizationId = canonicalId(owner);
    const cached = this.#indexes.get(organizationId ?? system);
    const isFresh = create && cached && cached.expires > this.now();
    if (isFresh && cached.keys.every((key) => this.#usable(key))) {
      cached.keys.forEach((key) => key.usesLeft--);
      return cached.keys;
    }
    if (create) await this.#reserve(organizationId, "index", 0);
    const stored = await this.store.indexKeys(organizationId);
    const keys = await Promise.all(stored.map((key) => this.#unwrap(key)));
    if (keys.length > 0) {
      const expires = this.now() + this.bounds.lifetime;
      this.#indexes.set(organizationId ?? system, { keys, expires });
    }
    return keys;
  }

  async #unwrap(stored: StoredDataKey): Promise<OpenDataKey> {
    const cached = this.#keys.get(stored.id);
    if (cached && this.#usable(cached)) return cached;
    if (stored.wrapped === null) throw new EncryptionError("key_destroyed", stored.id);
    const bytes = await this.ring.unwrap(stored.wrapped, stored, this.store);
    const secret = await importSecret(bytes);
    bytes.fill(0);
    // Another call may have been faster; its derived keys are in use.
    const other = this.#keys.get(stored.id);
    if (other && this.#usable(other)) return other;
    for (const key of [...this.#keys.values()]) {
      if (key.expires <= this.now()) this.#keys.delete(key.identity.id);
    }
    const { id, organizationId, purpose } = stored;
    const key = new OpenDataKey({ id, organizationId, purpose }, secret, this.bounds, this.now());
    this.#keys.set(id, key);
    return key;
  }

  /** After the end of a key's time in the cache its session must not go on, slowly. */
  #close(key: OpenDataKey): void {
    const owner = key.identity.organizationId ?? system;
    if (this.#sessions.peek(owner)?.key === key) this.#sessions.delete(owner);
    key.wipe();
  }

  forget(ids?: readonly string[]): void {
    const gone = (key: OpenDataKey) => !ids || ids.includes(key.identity.id);
    for (const [id, key] of [...this.#keys]) if (gone(key)) this.#keys.delete(id);
    for (const [id, { key }] of [...this.#sessions]) if (gone(key)) this.#sessions.delete(id);
    for (const [id, { keys }] of [...this.#indexes]) if (keys.some(gone)) this.#indexes.delete(id);
  }

  forgetOrganization(owner: string | null): void {
    const organizationId = canonicalId(owner);
    const keys = [...this.#keys.values()].filter(({ identity }) =>
      identity.organizationId === organizationId
    );
    this.forget(keys.map(({ identity }) => identity.id));
    this.#sessions.delete(organizationId ?? system);
    this.#indexes.delete(organizationId ?? system);
  }

  #usable({ expires, usesLeft }: OpenDataKey): boolean {
    return expires > this.now() && usesLeft > 0;
  }
}

function take(session: Session): MessageSlot {
  const { key, subkey, start } = session;
  key.usesLeft--;
  return {
    key: subkey,
    keyId: key.identity.id,
    start,
    message: session.next++,
    binding: (column) => key.binding(column),
  };
}

function requireSameOwner(id: string, owner: string | null, organizationId: string | null): void {
  if (owner !== organizationId) {
    throw new EncryptionError("wrong_organization", `data key ${shortId(id)}`);
  }
}
