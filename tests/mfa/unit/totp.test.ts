import assert from "node:assert/strict";
import { HOTP, Secret, TOTP, URI } from "otpauth";
import {
  makeSecret,
  matchingStep,
  otpauthUri,
} from "../../../supabase/functions/_bulwark/mfa/totp.ts";

const secret = Secret.fromLatin1("12345678901234567890");

Deno.test("matchingStep() knows the codes of RFC 4226, appendix D", () => {
  const codes = [
    ["755224", "287082", "359152", "969429", "338314"],
    ["254676", "287922", "162583", "399871", "520489"],
  ].flat();
  for (const [counter, code] of codes.entries()) {
    assert.equal(HOTP.generate({ secret, counter, digits: 6 }), code);
    // One step either side, and no further.
    for (const step of [counter, counter + 1, Math.max(counter - 1, 1)]) {
      if (Math.abs(step - counter) > 1 || step < 1) continue;
      assert.equal(matchingStep(secret.base32, code, step), counter);
    }
    assert.equal(matchingStep(secret.base32, code, counter + 2), null);
    assert.equal(matchingStep(secret.base32, code, counter + 100), null);
  }
});

Deno.test("the codes are those of RFC 6238, appendix B, under all three hashes", () => {
  const seed = (length: number) => Secret.fromLatin1("1234567890".repeat(7).slice(0, length));
  const vectors: [number, string, string, string][] = [
    [59, "94287082", "46119246", "90693936"],
    [1111111109, "07081804", "68084774", "25091201"],
    [1111111111, "14050471", "67062674", "99943326"],
    [1234567890, "89005924", "91819424", "93441116"],
    [2000000000, "69279037", "90698825", "38618901"],
    [20000000000, "65353130", "77737706", "47863826"],
  ];
  for (const [seconds, ...codes] of vectors) {
    for (const [index, algorithm] of ["SHA1", "SHA256", "SHA512"].entries()) {
      const totp = new TOTP({ secret: seed([20, 32, 64][index]!), algorithm, digits: 8 });
      assert.equal(totp.generate({ timestamp: seconds * 1000 }), codes[index]);
    }
    // Six digits are the last six of eight.
    const step = Math.floor(seconds / 30);
    assert.equal(matchingStep(secret.base32, codes[0]!.slice(2), step), step);
  }
});

Deno.test("makeSecret() makes 160 bits, another time other ones", () => {
  assert.match(makeSecret(), /^[A-Z2-7]{32}$/);
  assert.notEqual(makeSecret(), makeSecret());
});

Deno.test("otpauthUri() survives an account and an issuer with every character", () => {
  const uri = otpauthUri("Ä & Co: pay?", "ada+1@example.com", "JBSWY3DPEHPK3PXP");
  const read = URI.parse(uri);
  assert.ok(read instanceof TOTP);
  assert.deepEqual(
    [read.issuer, read.label, read.algorithm, read.digits, read.period, read.secret.base32],
    ["Ä & Co  pay?", "ada+1@example.com", "SHA1", 6, 30, "JBSWY3DPEHPK3PXP"],
  );
});
