import assert from "node:assert/strict";
import { toBase64, toHex } from "./encoding.ts";
import { readSigningKeys } from "./keys.ts";
import {
  formatCheckpoint,
  formatVerifierKey,
  keyId,
  openCheckpoint,
  openNote,
  parseCheckpoint,
  parseVerifierKey,
  type Signer,
  signNote,
  verify,
} from "./note.ts";

const bytes = (hex: string) =>
  Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));

/** RFC 8032, section 7.1: seed, public key, message, signature. */
const vectors = [
  [
    "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    "",
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b" +
    "d25bf5f0595bbe24655141438e7a100b",
  ],
  [
    "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
    "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    "72",
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c" +
    "387b2eaeb4302aeeb00d291612bb0c00",
  ],
  [
    "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
    "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
    "af82",
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659" +
    "4a7c15e9716ed28dc027beceea1ec40a",
  ],
] as const;

async function signer(byte: number, name = "example.test/audit"): Promise<Signer> {
  const [made] = await readSigningKeys(toBase64(new Uint8Array(32).fill(byte)), name);
  return made!;
}

const root = new Uint8Array(32).fill(7);
const text = formatCheckpoint({ origin: "example.test/audit", size: 9, root });

Deno.test("a seed gives the public keys and signatures of RFC 8032", async () => {
  for (const [seed, publicKey, message, signature] of vectors) {
    const [key] = await readSigningKeys(toBase64(bytes(seed)), "rfc8032");
    assert.equal(toHex(key!.publicKey), publicKey);
    assert.equal(toHex(await key!.sign(bytes(message))), signature);
    assert.equal(await verify(bytes(publicKey), bytes(signature), bytes(message)), true);
    assert.equal(await verify(bytes(publicKey), bytes(signature), bytes(message + "00")), false);
  }
});

Deno.test("a key is read as seed, PKCS #8 or PEM, several of them, and nothing else", async () => {
  const seed = new Uint8Array(32).fill(5);
  const pkcs8 = toBase64(Uint8Array.from([...bytes("302e020100300506032b657004220420"), ...seed]));
  const pem = `-----BEGIN PRIVATE KEY-----\n${pkcs8}\n-----END PRIVATE KEY-----\n`;
  const read = async (secret: string) =>
    (await readSigningKeys(secret, "n")).map(({ publicKey }) => toHex(publicKey));
  const [expected] = await read(toBase64(seed));
  assert.deepEqual(await read(pkcs8), [expected]);
  assert.deepEqual(await read(` ${pem}, ${toBase64(seed)},`), [expected, expected]);
  for (const wrong of ["", ",", "AAAA", "not base64!", toBase64(new Uint8Array(48))]) {
    await assert.rejects(read(wrong), (error: Error) => !error.message.includes(wrong || "\0"));
  }
});

Deno.test("the verifier key of the specification's example is read and written", async () => {
  const vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
  const key = await parseVerifierKey(vkey);
  assert.equal(key.name, "PeterNeumann");
  assert.equal(await keyId(key), "c74f20a3");
  assert.equal(await formatVerifierKey(key), vkey);
  const note = "If you think cryptography is the answer to your problem,\n" +
    "then you don't know what your problem is.\n\n" +
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
  assert.deepEqual((await openNote(note, [key])).signedBy, [key]);
  for (
    const wrong of [
      "",
      vkey.replace("c74f20a3", "c74f20a4"),
      vkey.replace("+AR", "+AA"),
      vkey.replace("PeterNeumann", "Peter Neumann"),
      vkey.slice(0, -4),
    ]
  ) {
    await assert.rejects(parseVerifierKey(wrong), { name: "MalformedError" });
  }
});

Deno.test("a checkpoint opens with the key that signed it and says what was signed", async () => {
  const key = await signer(1);
  const checkpoint = await openCheckpoint(await signNote(text, [key]), [key]);
  assert.deepEqual(checkpoint, { origin: "example.test/audit", size: 9, root });
});

Deno.test("during a rotation a note opens with the old key and with the new one", async () => {
  const [present, old, other] = [await signer(1), await signer(2), await signer(3)];
  const note = await signNote(text, [present, old]);
  assert.equal((await openNote(note, [present])).signedBy.length, 1);
  assert.equal((await openNote(note, [old])).signedBy.length, 1);
  assert.equal((await openNote(note, [old, present])).signedBy.length, 2);
  await assert.rejects(openNote(note, [other]), { problem: "unknown_key" });
  await assert.rejects(openNote(note, []), { problem: "unknown_key" });
});

Deno.test("a note is refused when text, signature, name or form was touched", async () => {
  const key = await signer(1);
  const note = await signNote(text, [key]);
  const open = (altered: string) => openCheckpoint(altered, [key]);
  await assert.rejects(open(note.replace("\n9\n", "\n8\n")), { problem: "bad_signature" });
  const signature = note.trimEnd().split(" ").at(-1)!;
  const flipped = signature.slice(0, 20) + (signature[20] === "A" ? "B" : "A") +
    signature.slice(21);
  await assert.rejects(open(note.replace(signature, flipped)), { problem: "bad_signature" });
  await assert.rejects(open(note.replace("— example", "— sample")), { problem: "unknown_key" });
  await assert.rejects(open(note.replace(signature, signature.slice(0, 12))), {
    name: /Error/,
  });
  for (const wrong of ["", "\n\n", text, note.trimEnd(), note + "surplus\n", `${text}\nx\n`]) {
    await assert.rejects(open(wrong), { problem: "malformed" });
  }
  const foreign = await signer(1, "elsewhere.test/audit");
  await assert.rejects(openCheckpoint(await signNote(text, [foreign]), [foreign]), {
    problem: "unknown_key",
  });
});

Deno.test("parseCheckpoint() takes extension lines and refuses sizes and roots of other forms", () => {
  assert.equal(parseCheckpoint(`${text}extension\n`).size, 9);
  const base64 = toBase64(root);
  for (
    const wrong of [
      `o\n09\n${base64}\n`,
      `o\n-1\n${base64}\n`,
      "o\n9\nAAAA\n",
      `\n9\n${base64}\n`,
      "o",
    ]
  ) {
    assert.throws(() => parseCheckpoint(wrong), { problem: "malformed" });
  }
});
