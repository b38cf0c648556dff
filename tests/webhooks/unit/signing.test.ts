import assert from "node:assert/strict";
import { Webhook } from "standardwebhooks";
import { newSecret } from "../../../supabase/functions/_bulwark/webhooks/sealing.ts";
import { openSigner } from "../../../supabase/functions/_bulwark/webhooks/signing.ts";

Deno.test("openSigner() signs as the package standardwebhooks does, whatever is signed", () => {
  const at = new Date(1_700_000_000_999);
  for (const body of ["", "{}", '{"name":"Zoë 🦜"}', "\u2028\r\n\0", "x".repeat(100_000)]) {
    const secret = newSecret();
    const expected = new Webhook(secret).sign("msg_1", at, body);
    assert.equal(openSigner(secret).sign("msg_1", at, body), expected);
    assert.equal(openSigner(secret.slice(6)).sign("msg_1", at, body), expected);
    assert.notEqual(openSigner(newSecret()).sign("msg_1", at, body), expected);
  }
});

Deno.test("openSigner() refuses a secret with nothing in it", () => {
  for (const secret of ["", "whsec_"]) assert.throws(() => openSigner(secret), /secret is empty/);
});
