import assert from "node:assert/strict";
import {
  checksumOf,
  hashOf,
  isApiKey,
} from "../../../supabase/functions/_bulwark/api_keys/format.ts";

Deno.test("checksumOf() is the CRC-32 that scanners know, in six digits", () => {
  assert.equal(checksumOf("zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ"), "0mLq17");
  assert.equal(checksumOf("123456789"), "3jZRME");
});

Deno.test("isApiKey() knows a key by its form and checksum", () => {
  const secret = "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJAB";
  const key = `bwk_live_${secret}${checksumOf(secret)}`;
  assert.ok(isApiKey(key));
  const others = [
    "",
    key.slice(0, -1),
    `${key}0`,
    ` ${key}`,
    `${key}\n`,
    key.replace("bwk_live", "bwk"),
    key.replace("_live_", "__"),
    key.replace("B", "C"),
    key.slice(0, -1) + (key.endsWith("0") ? "1" : "0"),
  ];
  for (const text of others) assert.ok(!isApiKey(text), JSON.stringify(text));
});

Deno.test("hashOf() is SHA-256 in hex", () => {
  assert.equal(
    hashOf("abc"),
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
  );
});
