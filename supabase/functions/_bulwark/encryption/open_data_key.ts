/** A data key in use: its derived keys, cached for a limited time and number of uses. */
import { LRUCache } from "lru-cache";
import type { Bytes } from "../foundation/bytes.ts";
import { constantTimeEqual } from "../foundation/constant_time.ts";
import type { AesGcmKey } from "./aes_gcm.ts";
import type { CacheBounds } from "./data_keys.ts";
import { deriveCommittingKey, hkdf } from "./derivation.ts";
import { EncryptionError } from "./errors.ts";
import {
  columnBinding,
  type FieldAddress,
  keyPartOf,
  prefixOf,
  readKeyPart,
  saltLength,
  subkeyInfo,
} from "./format.ts";
import type { DataKeyIdentity } from "./key_ring.ts";

/** Of each kind, for each data key. Not `max`, which would take the memory for all of them at once. */
const derivedBounds = { maxSize: 256, sizeCalculation: () => 1 };

/** A data key in use. */
export class OpenDataKey {
  readonly prefix: string;
  readonly expires: number;
  readonly #info: Bytes;
  readonly #subkeys = new LRUCache<string, AesGcmKey>({
    ...derivedBounds,
    dispose: (key) => key.wipe(),
  });
  readonly #bindings = new LRUCache<string, Bytes>(derivedBounds);
  readonly #indexKeys = new LRUCache<string, Promise<CryptoKey>>(derivedBounds);
  usesLeft: number;

  constructor(
    readonly identity: DataKeyIdentity,
    readonly secret: CryptoKey,
    bounds: CacheBounds,
    now: number,
  ) {
    this.prefix = prefixOf(identity.id);
    this.#info = subkeyInfo(identity.id);
    this.expires = now + bounds.lifetime;
    this.usesLeft = bounds.uses;
  }

  /**
   * The key for messages with this key part. The commitment of a cached key part was verified, and
   * a key part has only one spelling.
   * @throws EncryptionError wrong_key if the commitment is another key's
   */
  subkey(keyPart: string): AesGcmKey | Promise<AesGcmKey> {
    return this.#subkeys.get(keyPart) ?? this.#check(keyPart);
  }

  async #check(keyPart: string): Promise<AesGcmKey> {
    const { salt, commitment } = readKeyPart(keyPart) ?? {};
    const derived = salt && await deriveCommittingKey(this.secret, salt, this.#info);
    if (!derived || !commitment || !constantTimeEqual(derived.commitment, commitment)) {
      throw new EncryptionError("wrong_key", `data key ${this.identity.id}`);
    }
    this.#subkeys.set(keyPart, derived.key);
    return derived.key;
  }

  /** A new derived key with a random salt. */
  async newSubkey(): Promise<{ key: AesGcmKey; keyPart: string }> {
    // With 200 random bits no other session has this key, so its numbers begin at zero.
    const salt = crypto.getRandomValues(new Uint8Array(saltLength));
    const { key, commitment } = await deriveCommittingKey(this.secret, salt, this.#info);
    const keyPart = keyPartOf(salt, commitment);
    this.#subkeys.set(keyPart, key);
    return { key, keyPart };
  }

  /** Zeroes the bytes of its derived keys. It stays usable, by WebCrypto. */
  wipe(): void {
    this.#subkeys.clear();
  }

  /** The additional data of a column, up to the primary key. */
  binding(column: Omit<FieldAddress, "primaryKey">): Bytes {
    // A dot may be part of a name, a zero byte may not.
    const name = `${column.schema}\0${column.table}\0${column.column}\0${column.organizationId}`;
    let bytes = this.#bindings.get(name);
    if (!bytes) {
      bytes = columnBinding(this.identity.id, column);
      this.#bindings.set(name, bytes);
    }
    return bytes;
  }

  /** The HMAC key of one column's blind index, derived once. */
  async indexKey(name: string, info: Bytes): Promise<CryptoKey> {
    let key = this.#indexKeys.get(name);
    if (!key) {
      key = this.#deriveIndexKey(info);
      this.#indexKeys.set(name, key);
    }
    return await key;
  }

  async #deriveIndexKey(info: Bytes): Promise<CryptoKey> {
    const bytes = await hkdf(this.secret, new Uint8Array(), info, 32);
    const algorithm = { name: "HMAC", hash: "SHA-256" };
    const key = await crypto.subtle.importKey("raw", bytes, algorithm, false, ["sign"]);
    bytes.fill(0);
    return key;
  }
}
