/**
 * Signed notes and checkpoints: the text in which the head of the log leaves the database.
 * @see https://c2sp.org/signed-note
 * @see https://c2sp.org/tlog-checkpoint
 */
import { concat, toBase64, toHex, utf8 } from "../foundation/bytes.ts";
import { fromBase64, MalformedError } from "./encoding.ts";
import { sha256 } from "./merkle.ts";

/** An Ed25519 public key under the name of the log that it signs for. */
export interface VerifierKey {
  name: string;
  /** 32 bytes, RFC 8032. */
  publicKey: Uint8Array;
}

/** Signs notes; the private key stays inside. */
export interface Signer extends VerifierKey {
  /** The 64 bytes of an Ed25519 signature. */
  sign(message: Uint8Array): Promise<Uint8Array>;
}

/** The head of a log: the number of leaves and their RFC 6962 root. */
export interface Checkpoint {
  /** The log's name, by convention a URL without a scheme. */
  origin: string;
  size: number;
  /** 32 bytes. */
  root: Uint8Array;
}

/** Why a note was refused. */
export type NoteProblem = "malformed" | "ambiguous_key" | "unknown_key" | "bad_signature";

/** A note that fails verification. */
export class NoteError extends Error {
  override readonly name = "NoteError";

  constructor(readonly problem: NoteProblem, message: string) {
    super(message);
  }
}

/** The signature type of the format: Ed25519. */
const algorithm = 1;
/** Notes with more signatures are refused before any is verified. */
const mostSignatures = 100;
/** Unicode spaces, plus and control characters. */
// deno-lint-ignore no-control-regex
const notInNames = /[\s\u0085+\x00-\x1f\x7f]/;
/** ASCII control characters other than the newline. */
// deno-lint-ignore no-control-regex
const notInNotes = /[\x00-\x09\x0b-\x1f]/;

/** The four bytes that select a key: the beginning of SHA-256(name, newline, type, key). */
export async function keyHash({ name, publicKey }: VerifierKey): Promise<Uint8Array> {
  const content = concat(utf8(`${name}\n`), Uint8Array.of(algorithm), publicKey);
  return (await sha256(content)).subarray(0, 4);
}

/** The key id in the database: {@link keyHash} in hexadecimal. */
export async function keyId(key: VerifierKey): Promise<string> {
  return toHex(await keyHash(key));
}

/** A public key as text, `name+hash+base64` ("vkey"): the form that verifiers are given. */
export async function formatVerifierKey(key: VerifierKey): Promise<string> {
  const material = concat(Uint8Array.of(algorithm), key.publicKey);
  return `${key.name}+${await keyId(key)}+${toBase64(material)}`;
}

/** Whether a text can name a key: not empty, without Unicode spaces, plus or control characters. */
export function isKeyName(name: string): boolean {
  return name !== "" && !notInNames.test(name) && name.isWellFormed();
}

/**
 * Parses a public key.
 * @throws MalformedError if it has another form, another algorithm or a wrong hash
 */
export async function parseVerifierKey(text: string): Promise<VerifierKey> {
  const [, name, hash, material] = /^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})$/
    .exec(text) ?? [];
  if (!name || !isKeyName(name) || !hash || !material) {
    throw new MalformedError("the key is not of the form name+hash+base64");
  }
  const bytes = fromBase64(material, "the key", 33);
  if (bytes[0] !== algorithm) throw new MalformedError("the key is not an Ed25519 key");
  const key = { name, publicKey: bytes.subarray(1) };
  if (await keyId(key) !== hash) throw new MalformedError("the key's hash is not its own");
  return key;
}

/**
 * Signs a text that ends in a newline, once for every signer.
 * @throws MalformedError if the text cannot be a note, or there is no signer
 */
export async function signNote(text: string, signers: readonly Signer[]): Promise<string> {
  if (!text.endsWith("\n")) throw new MalformedError("a note ends in a newline");
  if (!isNoteText(text)) throw new MalformedError("a note has no control characters");
  if (signers.length === 0) throw new MalformedError("a note has a signature");
  if (!signers.every(({ name }) => isKeyName(name))) {
    throw new MalformedError("a key's name has no spaces, plus or control characters");
  }
  const lines = await Promise.all(signers.map(async (signer) => {
    const signature = await signer.sign(utf8(text));
    return `— ${signer.name} ${toBase64(concat(await keyHash(signer), signature))}\n`;
  }));
  return `${text}\n${lines.join("")}`;
}

/**
 * The text of a note, and the known keys that signed it. Signatures of unknown keys are ignored, as
 * the format says, so that a note may carry those of several generations and of witnesses.
 * @throws NoteError malformed; ambiguous_key if two known keys have the name and hash of a
 *   signature; unknown_key if no known key signed; bad_signature if a known key's signature is
 *   invalid
 */
export async function openNote(
  note: string,
  known: readonly VerifierKey[],
): Promise<{ text: string; signedBy: VerifierKey[] }> {
  if (!isNoteText(note)) throw new NoteError("malformed", "the note has control characters");
  const split = note.lastIndexOf("\n\n");
  if (split < 0 || !note.endsWith("\n")) {
    throw new NoteError("malformed", "the note has no signatures");
  }
  const text = note.slice(0, split + 1);
  const lines = note.slice(split + 2, -1).split("\n");
  if (lines.length > mostSignatures) {
    throw new NoteError("malformed", `the note has more than ${mostSignatures} signatures`);
  }
  const ids = await Promise.all(known.map(keyId));
  const signedBy = new Set<VerifierKey>();
  for (const { name, hash, signature } of lines.map(readSignature)) {
    const [key, another] = known.filter((each, place) => each.name === name && ids[place] === hash);
    if (!key) continue;
    if (another) {
      throw new NoteError("ambiguous_key", `two of the keys given have the id ${name}+${hash}`);
    }
    if (!await verify(key.publicKey, signature, utf8(text))) {
      throw new NoteError("bad_signature", `the signature of ${name} is not by its key`);
    }
    signedBy.add(key);
  }
  if (signedBy.size === 0) {
    throw new NoteError("unknown_key", "the note is signed by none of the keys given");
  }
  return { text, signedBy: [...signedBy] };
}

/** Whether a signature over a message is by a public key (Ed25519, RFC 8032). */
export async function verify(
  publicKey: Uint8Array,
  signature: Uint8Array,
  message: Uint8Array,
): Promise<boolean> {
  const key = await crypto.subtle.importKey("raw", publicKey as BufferSource, "Ed25519", true, [
    "verify",
  ]);
  return crypto.subtle.verify(
    "Ed25519",
    key,
    signature as BufferSource,
    message as BufferSource,
  );
}

/**
 * Formats a checkpoint as the text of a note.
 * @throws NoteError malformed
 */
export function formatCheckpoint({ origin, size, root }: Checkpoint): string {
  const text = `${origin}\n${size}\n${toBase64(root)}\n`;
  parseCheckpoint(text);
  return text;
}

/**
 * Parses a checkpoint; lines after the third are extensions, which are ignored but may not be
 * empty.
 * @throws NoteError malformed
 */
export function parseCheckpoint(text: string): Checkpoint {
  const lines = text.split("\n");
  const [origin, size, root] = lines;
  const isComplete = lines.length > 3 && lines.pop() === "" && !lines.includes("");
  if (!isComplete || !isNoteText(text) || !origin || !/^(?:0|[1-9]\d{0,15})$/.test(size ?? "")) {
    throw new NoteError("malformed", "the note is not a checkpoint");
  }
  if (!Number.isSafeInteger(Number(size))) {
    throw new NoteError("malformed", "the checkpoint's size is too large");
  }
  try {
    return { origin, size: Number(size), root: fromBase64(root, "the root", 32) };
  } catch {
    throw new NoteError("malformed", "the note is not a checkpoint");
  }
}

/**
 * The checkpoint of a note that a known key signed under its own name.
 * @throws NoteError as {@link openNote}; unknown_key also if the key belongs to another log
 */
export async function openCheckpoint(
  note: string,
  known: readonly VerifierKey[],
): Promise<Checkpoint> {
  const { text, signedBy } = await openNote(note, known);
  const checkpoint = parseCheckpoint(text);
  if (!signedBy.some(({ name }) => name === checkpoint.origin)) {
    throw new NoteError("unknown_key", `no key given signs for ${checkpoint.origin}`);
  }
  return checkpoint;
}

/** Whether a text can be in a note: UTF-8, and no ASCII control characters but newlines. */
function isNoteText(text: string): boolean {
  return !notInNotes.test(text) && text.isWellFormed();
}

/** A signature line: the key's name, its hash in hexadecimal, and the signature. */
function readSignature(line: string): { name: string; hash: string; signature: Uint8Array } {
  const [, name, encoded] = /^\u2014 ([^ ]+) ([^ ]+)$/.exec(line) ?? [];
  if (!name || !isKeyName(name) || !encoded) {
    throw new NoteError("malformed", "a signature line has no valid form");
  }
  const bytes = signatureBytes(encoded);
  return { name, hash: toHex(bytes.subarray(0, 4)), signature: bytes.subarray(4) };
}

function signatureBytes(encoded: string): Uint8Array {
  try {
    const bytes = fromBase64(encoded, "a signature");
    if (bytes.length > 4) return bytes;
  } catch {
    // Reported below.
  }
  throw new NoteError("malformed", "a signature is not base64");
}
