import { concat, toBase64, utf8 } from "../foundation/bytes.ts";
import { fromBase64, MalformedError } from "./encoding.ts";
import { isKeyName, type Signer } from "./note.ts";

/** The constant prefix of a PKCS #8 Ed25519 private key (RFC 8410); the seed of 32 bytes follows. */
const pkcs8Head = Uint8Array.of(
  0x30,
  0x2e,
  0x02,
  0x01,
  0x00,
  0x30,
  0x05,
  0x06,
  0x03,
  0x2b,
  0x65,
  0x70,
  0x04,
  0x22,
  0x04,
  0x20,
);

/**
 * Reads the keys that sign checkpoints from a function secret: base64 of a 32-byte seed (RFC 8032)
 * or of PKCS #8, or PEM; several are separated by commas, the present one first. A note carries a
 * signature of each. To rotate, put the new key in front, give its public key to all verifiers, and
 * then remove the old one; its signatures stay verifiable.
 * @throws MalformedError if one is not such a key, without revealing any of it
 */
export async function readSigningKeys(secret: string, name: string): Promise<Signer[]> {
  const texts = secret.split(",").map((text) => text.trim()).filter((text) => text !== "");
  if (texts.length === 0) throw new MalformedError("there is no signing key");
  if (!isKeyName(name)) throw new MalformedError("the log's name has spaces, plus or controls");
  return await Promise.all(texts.map((text) => readSigningKey(text, name)));
}

/**
 * The secret that shows the database the holder of a key, in base64: a signature over a text that
 * is no checkpoint. Ed25519 is deterministic, so it is always the same, and only the key can make
 * it.
 */
export async function writerSecret(signer: Signer): Promise<string> {
  const text = `bulwark audit checkpoint writer\n${signer.name}\n`;
  return toBase64(await signer.sign(utf8(text)));
}

async function readSigningKey(text: string, name: string): Promise<Signer> {
  const bytes = fromBase64(
    text.replace(/-----(?:BEGIN|END) PRIVATE KEY-----/g, "").replace(/\s+/g, ""),
    "the signing key",
  );
  const pkcs8 = bytes.length === 32 ? concat(pkcs8Head, bytes) : bytes;
  if (pkcs8.length !== 48 || pkcs8Head.some((byte, index) => byte !== pkcs8[index])) {
    throw new MalformedError("the signing key is neither an Ed25519 seed nor PKCS #8");
  }
  const key = await crypto.subtle.importKey("pkcs8", pkcs8 as BufferSource, "Ed25519", true, [
    "sign",
  ]);
  const { x } = await crypto.subtle.exportKey("jwk", key);
  if (!x) throw new MalformedError("the signing key has no public half");
  return {
    name,
    publicKey: fromBase64(x.replaceAll("-", "+").replaceAll("_", "/") + "=", "the public key", 32),
    async sign(message) {
      return new Uint8Array(await crypto.subtle.sign("Ed25519", key, message as BufferSource));
    },
  };
}
