import assert from "node:assert/strict";
import { toBase64, toHex } from "../../../supabase/functions/_bulwark/foundation/bytes.ts";
import { readSigningKeys } from "../../../supabase/functions/_bulwark/audit/keys.ts";
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
} from "../../../supabase/functions/_bulwark/audit/note.ts";

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
/** One byte less than a hash. */
const leafless = new Uint8Array(31);
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

Deno.test("a note with control characters, halves of surrogates or too many signatures is refused", async () => {
  const key = await signer(1);
  const note = await signNote(text, [key]);
  const [, line] = note.split("\n\n") as [string, string];
  const malformed = [
    `\x01${note}`,
    note.replace("\n9\n", "\n9\t\n"),
    note.replaceAll("\n", "\r\n"),
    note.replace("\n9", "\0\n9"),
    `\ud800${note}`,
    `${text}\n${line.repeat(101)}`,
    `${text}\n${line.replace("— ", "—\u00a0")}`,
    `${text}\n${line.replace("— ", "- ")}`,
    `${text}\n${line.replace("— ", "—  ")}`,
    `${text}\n${line.replace("example", "exam+ple")}`,
    `${text}\n${line.replace("example", "exam\u0085ple")}`,
    `${text}\n${line.replace("example", "exam\u2003ple")}`,
    `${text}\n${line.replace(/ \S+\n$/, " AAAA\n")}`,
    `${text}\n${line.replace(/ \S+\n$/, " \n")}`,
    `${text}\n${line.replace("=\n", "\n")}`,
    `${text}\n${line}${text}`,
    `${text}\n${line}\n`,
  ];
  for (const wrong of malformed) {
    await assert.rejects(openNote(wrong, [key]), { problem: "malformed" }, JSON.stringify(wrong));
  }
  assert.equal((await openNote(`${text}\n${line.repeat(100)}`, [key])).signedBy.length, 1);
  const bad = line.replace(/\S{8}\n$/, "AAAAAA==\n");
  await assert.rejects(openNote(`${text}\n${line}${bad}`, [key]), { problem: "bad_signature" });
});

Deno.test("a key that is there twice decides nothing", async () => {
  const [key, other] = [await signer(1), await signer(2)];
  const note = await signNote(text, [key]);
  await assert.rejects(openNote(note, [key, key]), { problem: "ambiguous_key" });
  await assert.rejects(openNote(note, [key, other, { ...key }]), { problem: "ambiguous_key" });
  assert.equal((await openNote(note, [other, key, other])).signedBy.length, 1);
  const byOther = await signNote(text, [other]);
  await assert.rejects(openNote(byOther, [key, { ...other, name: "elsewhere.test/audit" }]), {
    problem: "unknown_key",
  });
});

Deno.test("signNote() makes no note that openNote() refuses", async () => {
  const key = await signer(1);
  await assert.rejects(signNote("no newline", [key]), { name: "MalformedError" });
  await assert.rejects(signNote("bell\x07\n", [key]), { name: "MalformedError" });
  await assert.rejects(signNote("half \ud800\n", [key]), { name: "MalformedError" });
  await assert.rejects(signNote(text, []), { name: "MalformedError" });
  for (const name of ["", "a b", "a+b", "a\nb", "a\u2028b"]) {
    await assert.rejects(signNote(text, [{ ...key, name }]), { name: "MalformedError" });
    await assert.rejects(signer(1, name), { name: "MalformedError" });
  }
  assert.throws(() => formatCheckpoint({ origin: "a\nb", size: 1, root }));
  assert.throws(() => formatCheckpoint({ origin: "a", size: -1, root }));
  assert.throws(() => formatCheckpoint({ origin: "a", size: 1, root: leafless }));
});

Deno.test("a checkpoint has three lines or more, none of them empty, and a newline at its end", () => {
  const base64 = toBase64(root);
  assert.equal(parseCheckpoint(`o\n0\n${base64}\n`).size, 0);
  assert.equal(parseCheckpoint(`o\n9\n${base64}\none\ntwo\n`).size, 9);
  for (
    const wrong of [
      `o\n9\n${base64}`,
      `o\n9\n${base64}\n\n`,
      `o\n9\n${base64}\n\nextension\n`,
      `o\n9\n${base64}\nextension`,
      `o\n9\n\n${base64}\n`,
      `o\n9\n`,
      `o\n9.0\n${base64}\n`,
      `o\n+9\n${base64}\n`,
      `o\n 9\n${base64}\n`,
      `o\n9007199254740993\n${base64}\n`,
      `o\n18446744073709551615\n${base64}\n`,
      `o\r\n9\r\n${base64}\r\n`,
      `o\n9\n${base64} \n`,
      `o\n9\n${toBase64(leafless)}\n`,
      "",
    ]
  ) {
    assert.throws(() => parseCheckpoint(wrong), { problem: "malformed" }, JSON.stringify(wrong));
  }
});

Deno.test("a verifier key has one spelling", async () => {
  const vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
  for (
    const wrong of [
      ` ${vkey}`,
      `${vkey}\n`,
      vkey.toUpperCase(),
      vkey.replace("c74f20a3", "C74F20A3"),
      vkey.replace("c74f20a3", "c74f20a"),
      vkey.replace("+c74f20a3", ""),
      vkey.replace("PeterNeumann", ""),
      vkey.replace("PeterNeumann", "Peter\u0085Neumann"),
      vkey.replace("PeterNeumann", "Peter\x01Neumann"),
      vkey.replace("PeterNeumann", "Peter+Neumann"),
      `${vkey}+more`,
      `${vkey}=`,
      vkey.replace("10TW", "10T"),
    ]
  ) {
    await assert.rejects(
      parseVerifierKey(wrong),
      { name: "MalformedError" },
      JSON.stringify(wrong),
    );
  }
});
