/** WebCrypto and node:crypto follow the standards, tested through the calls that fields use. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { openNow, sealNow } from "../../../supabase/functions/_bulwark/encryption/aes_gcm.ts";
import { hkdf, importSecret } from "../../../supabase/functions/_bulwark/encryption/derivation.ts";
import {
  derivePasswordKey,
  pbkdf2,
} from "../../../supabase/functions/_bulwark/encryption/random.ts";

const bytes = (hex: string) =>
  Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const hex = (data: Uint8Array) =>
  Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join("");

async function open(key: string, iv: string, aad: string, sealed: string): Promise<string | null> {
  let opened: string | null = null;
  try {
    // As on a runtime whose decipher accepts every tag, which Deno 2.1.4 is.
    opened = hex(openNow(bytes(key), bytes(iv), bytes(aad), bytes(sealed), false));
  } catch {
    // Null as well.
  }
  const imported = await crypto.subtle.importKey("raw", bytes(key), "AES-GCM", false, ["decrypt"]);
  const algorithm = { name: "AES-GCM", iv: bytes(iv), additionalData: bytes(aad) };
  const expected = await crypto.subtle.decrypt(algorithm, imported, bytes(sealed))
    .then((text) => hex(new Uint8Array(text)), () => null);
  assert.equal(opened, expected);
  return expected;
}

Deno.test("AES-256-GCM: test cases 13 to 16 of the GCM specification", async () => {
  const key = "feffe9928665731c6d6a8f9467308308".repeat(2);
  const text = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72" +
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
  const sealed = "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa" +
    "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662";
  const aad = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
  const tag = "76fc6ece0f4e1768cddf8853bb2d551b";
  const iv = "cafebabefacedbaddecaf888";
  assert.equal(await open(key, iv, aad, sealed + tag), text);
  assert.equal(await open(key, iv, aad.replace(/.$/, "3"), sealed + tag), null);
  const nothing = "530f8afbc74536b9a963b4f1c4cb738b";
  const zeros = "00".repeat(32);
  assert.equal(await open(zeros, "00".repeat(12), "", nothing), "");
  const block = "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919";
  assert.equal(await open(zeros, "00".repeat(12), "", block), "00".repeat(16));
  const whole = text + "1aafd255";
  const wholeSealed = sealed + "898015adb094dac5d93471bdec1a502270e3cc6c";
  assert.equal(await open(key, iv, "", wholeSealed), whole);
});

Deno.test("HKDF-SHA-256: RFC 5869, test case 1", async () => {
  const secret = await importSecret(bytes("0b".repeat(22)));
  const salt = bytes("000102030405060708090a0b0c");
  const derived = await hkdf(secret, salt, bytes("f0f1f2f3f4f5f6f7f8f9"), 42);
  assert.equal(
    hex(derived),
    "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
  );
});

Deno.test("PBKDF2-SHA-256: RFC 7914, section 11", async () => {
  const encode = (text: string) => new TextEncoder().encode(text);
  const one = await pbkdf2(encode("passwd"), encode("salt"), 1, 64);
  assert.equal(
    hex(one),
    "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc" +
      "49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783",
  );
});

Deno.test("derivePasswordKey() refuses short salts and few rounds", async () => {
  const salt = new Uint8Array(16);
  for (
    const parameters of [
      { salt, rounds: 599_999 },
      { salt, rounds: NaN },
      { salt, rounds: 10_000_001 },
      { salt: salt.subarray(1), rounds: 600_000 },
    ]
  ) {
    await assert.rejects(derivePasswordKey("password", parameters), RangeError);
  }
  assert.equal((await derivePasswordKey("password", { salt, rounds: 600_000 })).length, 32);
});

interface Vectors<Test> {
  numberOfTests: number;
  testGroups: { tests: (Test & { tcId: number; result: string })[] }[];
}
interface GcmTest {
  key: string;
  iv: string;
  aad: string;
  msg: string;
  ct: string;
  tag: string;
}
interface PasswordTest {
  password: string;
  salt: string;
  iterationCount: number;
  dkLen: number;
  dk: string;
}

// Wycheproof's vectors are not part of the repository. If they are beside it, all are run.
const folder = fileURLToPath(new URL("../../../../shared/vectors/", import.meta.url).href);
const read = <Test>(name: string): Vectors<Test> =>
  JSON.parse(readFileSync(`${folder}${name}`, "utf8"));

if (existsSync(`${folder}wycheproof-aes-256-gcm.json`)) {
  Deno.test("AES-256-GCM: every vector of Wycheproof", async () => {
    const { testGroups, numberOfTests } = read<GcmTest>("wycheproof-aes-256-gcm.json");
    const tests = testGroups.flatMap((group) => group.tests);
    assert.deepEqual([tests.length, numberOfTests], [66, 66]);
    for (const { tcId, key, iv, aad, msg, ct, tag, result } of tests) {
      const opened = await open(key, iv, aad, ct + tag);
      assert.equal(opened, result === "valid" ? msg : null, `vector ${tcId}`);
      if (result !== "valid") continue;
      assert.equal(hex(sealNow(bytes(key), bytes(iv), bytes(aad), bytes(msg))), ct + tag);
      const imported = await crypto.subtle.importKey("raw", bytes(key), "AES-GCM", false, [
        "encrypt",
      ]);
      const algorithm = { name: "AES-GCM", iv: bytes(iv), additionalData: bytes(aad) };
      const sealed = await crypto.subtle.encrypt(algorithm, imported, bytes(msg));
      assert.equal(hex(new Uint8Array(sealed)), ct + tag, `vector ${tcId}`);
    }
  });
}

if (existsSync(`${folder}wycheproof-pbkdf2-hmac-sha256.json`)) {
  Deno.test("PBKDF2-SHA-256: every vector of Wycheproof", async () => {
    const { testGroups, numberOfTests } = read<PasswordTest>("wycheproof-pbkdf2-hmac-sha256.json");
    const tests = testGroups.flatMap((group) => group.tests);
    assert.deepEqual([tests.length, numberOfTests], [60, 60]);
    for (const { tcId, password, salt, iterationCount, dkLen, dk, result } of tests) {
      const derived = await pbkdf2(bytes(password), bytes(salt), iterationCount, dkLen);
      assert.equal(hex(derived) === dk, result !== "invalid", `vector ${tcId}`);
    }
  });
}
