/**
 * AES-256-GCM (NIST SP 800-38D) with nonces of 96 bits and tags of 128, by the faster of two engines.
 * WebCrypto gives each call to another thread, which costs more than a short text does; node:crypto
 * works at once, on this thread, and needs the key as bytes.
 */
import { createCipheriv, createDecipheriv, timingSafeEqual } from "node:crypto";
import { asPlain, type Bytes, toBase64Url, utf8 } from "../foundation/bytes.ts";

export const tagLength = 16;

/** The part of the work that node:crypto does. */
export interface Engine {
  /** Bytes of text up to which it encrypts; -1: it is not used. */
  encrypts: number;
  decrypts: number;
  /** Whether its decipher refuses a wrong tag. Deno's did not before 2.1.7 (CVE-2025-24015). */
  verifies: boolean;
}

/** WebCrypto alone. */
export const webCrypto: Engine = { encrypts: -1, decrypts: -1, verifies: false };

let chosen: Engine | undefined;

/** A key in memory, for both engines. */
export class AesGcmKey {
  /** Private, so that no log and no JSON shows it; null: only WebCrypto has the key. */
  #bytes: Bytes | null;
  readonly #key: CryptoKey;
  readonly #engine: Engine;

  private constructor(bytes: Bytes, key: CryptoKey, engine: Engine) {
    this.#bytes = bytes;
    this.#key = key;
    this.#engine = engine;
  }

  /**
   * Takes over 32 bytes, which the caller must not use again. They should be in a buffer of more
   * than 64 bytes: V8 moves smaller ones, which leaves copies behind.
   */
  static async of(bytes: Bytes, engine = chosen ??= chooseEngine()): Promise<AesGcmKey> {
    // Another length would end Deno 2.1.4 instead of raising an error.
    if (bytes.length !== 32) throw new TypeError("Cannot use key: it takes 32 bytes");
    const imported = await crypto.subtle.importKey("raw", bytes, "AES-GCM", false, [
      "encrypt",
      "decrypt",
    ]);
    const key = new AesGcmKey(bytes, imported, engine);
    if (engine.encrypts < 0) key.wipe();
    return key;
  }

  /** Ciphertext and tag. The nonce is the message's number, which must be new under this key. */
  seal(message: number, additionalData: Bytes, text: Bytes): Bytes | Promise<Bytes> {
    if (this.#bytes && text.length <= this.#engine.encrypts) {
      return sealNow(this.#bytes, sharedNonce(message), additionalData, text);
    }
    const algorithm = { name: "AES-GCM", iv: sharedNonce(message).slice(), additionalData };
    return crypto.subtle.encrypt(algorithm, this.#key, text).then(asBytes);
  }

  /** The text. @throws or rejects if the tag is not that of this key, number and data */
  open(message: number, additionalData: Bytes, sealed: Bytes): Bytes | Promise<Bytes> {
    const length = sealed.length - tagLength;
    if (this.#bytes && length >= 0 && length <= this.#engine.decrypts) {
      return openNow(
        this.#bytes,
        sharedNonce(message),
        additionalData,
        sealed,
        this.#engine.verifies,
      );
    }
    const algorithm = { name: "AES-GCM", iv: sharedNonce(message).slice(), additionalData };
    return crypto.subtle.decrypt(algorithm, this.#key, sealed).then(asBytes);
  }

  /** Zeroes the bytes. A caller who still has the key continues with WebCrypto. */
  wipe(): void {
    this.#bytes?.fill(0);
    this.#bytes = null;
  }
}

const nonce = new Uint8Array(12);
const nonceView = new DataView(nonce.buffer);

/** The message's number with leading zeros, until the next call: a new array would take longer. */
function sharedNonce(message: number): Bytes {
  nonceView.setUint32(8, message);
  return nonce;
}

const asBytes = (buffer: ArrayBuffer): Bytes => new Uint8Array(buffer);

function encrypt(key: Bytes, nonce: Bytes, additionalData: Bytes, text: Uint8Array) {
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  cipher.setAAD(additionalData);
  const ciphertext = asPlain(cipher.update(text));
  cipher.final();
  return { ciphertext, tag: asPlain(cipher.getAuthTag()) };
}

/** By node:crypto. */
export function sealNow(key: Bytes, nonce: Bytes, additionalData: Bytes, text: Bytes): Bytes {
  const { ciphertext, tag } = encrypt(key, nonce, additionalData, text);
  const sealed = new Uint8Array(text.length + tagLength);
  sealed.set(ciphertext);
  sealed.set(tag, text.length);
  return sealed;
}

/** By node:crypto. @throws for a wrong tag; `verifies` as in {@link Engine} */
export function openNow(
  key: Bytes,
  nonce: Bytes,
  additionalData: Bytes,
  sealed: Bytes,
  verifies: boolean,
): Bytes {
  const tag = sealed.subarray(sealed.length - tagLength);
  const decipher = createDecipheriv("aes-256-gcm", key, nonce);
  decipher.setAAD(additionalData);
  decipher.setAuthTag(tag);
  const text = asPlain(decipher.update(sealed.subarray(0, sealed.length - tagLength)));
  // Must come before the text leaves: it throws for a wrong tag.
  decipher.final();
  // The text, encrypted again, has the one right tag.
  if (!verifies && !timingSafeEqual(encrypt(key, nonce, additionalData, text).tag, tag)) {
    throw new Error("Wrong tag");
  }
  return text;
}

/** Examines the runtime: the hosted one is not the Deno that it names in everything. */
function chooseEngine(): Engine {
  const key = new Uint8Array(32);
  const nonce = new Uint8Array(12);
  const data = utf8("bulwark");
  const text = utf8("a known answer");
  try {
    const sealed = sealNow(key, nonce, data, text);
    if (toBase64Url(sealed) !== "r4crUyIXBU5mILak34FoFHPQ0QxsqtzWRSw7XAeg") return webCrypto;
    sealed[sealed.length - 1]! ^= 1;
    // Since 2.7 Deno's cipher takes 5 microseconds for a KiB instead of 1.
    const [, minor] = /\b2\.(\d+)\./.exec(Deno.version?.deno ?? "") ?? [];
    const isFast = minor !== undefined && Number(minor) < 7;
    const encrypts = isFast ? 65_536 : 2048;
    return refuses(() => openNow(key, nonce, data, sealed, true))
      ? { encrypts, decrypts: encrypts, verifies: true }
      : { encrypts, decrypts: Math.min(encrypts, 16_384), verifies: false };
  } catch {
    return webCrypto;
  }
}

function refuses(task: () => unknown): boolean {
  try {
    task();
    return false;
  } catch {
    return true;
  }
}
