import assert from "node:assert/strict";
import {
  carriesSecret,
  tokenOf,
} from "../../../supabase/functions/_bulwark/foundation/credentials.ts";

const request = (...authorization: string[]) => {
  const headers = new Headers();
  for (const value of authorization) headers.append("authorization", value);
  return new Request("http://localhost/", { headers });
};

Deno.test("tokenOf() takes a token in its one form, and nothing that a verifier may read otherwise", () => {
  for (const prefix of ["Bearer ", "bearer ", "BEARER  "]) {
    assert.equal(tokenOf(request(`${prefix}aa.bb.cc`)), "aa.bb.cc");
  }
  for (
    const other of [
      "",
      "aa.bb.cc",
      "Bearer",
      "Bearer aa.bb.cc=",
      "Bearer aa.bb.cc==",
      "Bearer aa.bb=.cc",
      "Bearer aa.bb.cc.dd",
      "Bearer aa.bb.",
      "Bearer aa.bb+.cc",
      "Bearer aa.bb.cc, Bearer dd.ee.ff",
      "Bearer aa.bb.cc,",
      "Bearer\taa.bb.cc",
      "Bearer aa.bb.cc aa",
      "Token aa.bb.cc",
      "Bearer sb_publishable_x",
    ]
  ) assert.equal(tokenOf(request(other)), null, other);
  assert.equal(tokenOf(request("Bearer aa.bb.cc", "Bearer aa.bb.cc")), null, "two of them");
});

Deno.test("carriesSecret() knows the secret, and nobody where there is none", () => {
  const secret = "0123456789abcdef0123456789abcdef";
  assert.equal(carriesSecret(request(`bearer ${secret}`), [null, secret]), true);
  for (const wrong of ["", "Bearer", secret, `Basic ${secret}`, `Bearer ${secret}0`]) {
    assert.equal(carriesSecret(request(wrong), [secret]), false);
  }
  for (const unset of [null, "", "short"]) {
    assert.equal(carriesSecret(request(`Bearer ${unset}`), [unset]), false);
  }
});
