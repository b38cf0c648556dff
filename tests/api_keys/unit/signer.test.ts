import assert from "node:assert/strict";
import { fromBase64Url, utf8 } from "../../../supabase/functions/_bulwark/foundation/bytes.ts";
import { openSigner } from "../../../supabase/functions/_bulwark/api_keys/signer.ts";

const claims = { role: "api_key", exp: 1 };

/** The header, whether the signature is valid, and the claims. */
async function opened(
  token: string,
  key: CryptoKey,
  parameters: { name: string; hash: string },
): Promise<unknown[]> {
  const [head = "", payload = "", signature = ""] = token.split(".");
  const json = (part: string) => JSON.parse(new TextDecoder().decode(fromBase64Url(part)!));
  const holds = await crypto.subtle.verify(
    parameters,
    key,
    fromBase64Url(signature)!,
    utf8(`${head}.${payload}`),
  );
  return [json(head), holds, json(payload)];
}

Deno.test("openSigner() signs with the legacy secret", async () => {
  const parameters = { name: "HMAC", hash: "SHA-256" };
  const jwtSecret = "0123456789abcdef0123456789abcdef";
  const sign = await openSigner({ jwtSigningKey: null, jwtSecret });
  const key = await crypto.subtle.importKey("raw", utf8(jwtSecret), parameters, false, ["verify"]);
  assert.deepEqual(await opened(await sign(claims), key, parameters), [
    { alg: "HS256", typ: "JWT" },
    true,
    claims,
  ]);
});

Deno.test("openSigner() signs with an imported ES256 or RS256 key, before the secret", async () => {
  const kinds = {
    ES256: { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
    RS256: {
      name: "RSASSA-PKCS1-v1_5",
      hash: "SHA-256",
      modulusLength: 2048,
      publicExponent: new Uint8Array([1, 0, 1]),
    },
  };
  for (const [alg, parameters] of Object.entries(kinds)) {
    const pair = await crypto.subtle.generateKey(parameters, true, ["sign", "verify"]);
    const { publicKey, privateKey } = pair as CryptoKeyPair;
    const jwk = await crypto.subtle.exportKey("jwk", privateKey);
    // In the form of the Supabase CLI: with a name, and with both operations.
    const jwtSigningKey = JSON.stringify({
      ...jwk,
      alg,
      kid: "key-1",
      use: "sig",
      key_ops: ["sign", "verify"],
    });
    const sign = await openSigner({ jwtSigningKey, jwtSecret: "not this one" });
    assert.deepEqual(await opened(await sign(claims), publicKey, parameters), [
      { alg, typ: "JWT", kid: "key-1" },
      true,
      claims,
    ]);
  }
});

Deno.test("openSigner() refuses what is no key, without saying what it was given", async () => {
  const bad = [
    null,
    "{}",
    '{"kty":"EC","crv":"P-256","x":"secret","y":"b"}',
    '{"kty":"oct","k":"secret","alg":"HS256"}',
    '{"kty":"EC","crv":"P-256","x":"a","y":"b","d":"secret","alg":"none"}',
    '{"kty":"EC","crv":"P-256","x":"a","y":"b","d":"secret","alg":"constructor"}',
    '{"kty":"EC","crv":"P-384","x":"a","y":"b","d":"secret"}',
    '{"kty":"RSA","n":"a","e":"AQAB","d":"secret","alg":"ES256"}',
    '{"d":"secret',
    "secret",
    "null",
  ];
  for (const jwtSigningKey of bad) {
    const thrown = await openSigner({ jwtSigningKey, jwtSecret: null }).then(() => null, (e) => e);
    assert.ok(thrown instanceof Error, String(jwtSigningKey));
    assert.ok(!thrown.message.includes("secret"));
  }
});
