/** Function `bulwark-mfa` over HTTP: what organizations require, trusted devices and resets. */
import assert from "node:assert/strict";
import { callFunction, createOrganization, join, liftLimits, ok } from "../support.ts";
import { codeAt, done, enroll, enrolled, refusal, refused, signInAgain } from "./support.ts";

// The limit on calls is not the subject here.
await liftLimits();

Deno.test("MFA-F13: an organization that requires MFA is closed until it is verified, no other is", async () => {
  const admin = await enrolled("admin");
  const acme = await createOrganization(admin);
  const gus = await enrolled("gus");
  const globex = await createOrganization(gus);
  await join(admin, acme, gus, "analyst");
  ok(await admin.client.rpc("set_mfa_policy", { organization_id: acme, required: true }));
  const again = await signInAgain(gus);
  const may = async (organization_id: string) =>
    ok(await again.client.rpc("has_permission", { permission: "analytics:read", organization_id }));
  const ask = async () => {
    const query = new URLSearchParams({ permission: "analytics:read", organization_id: acme });
    const answer = await callFunction(`rbac?${query}`, { token: again.token });
    return answer.status === 204 ? 204 : `${answer.status} ${(await answer.json()).code}`;
  };
  assert.equal(await may(acme), false);
  assert.equal(await may(globex), true);
  assert.equal(await ask(), "403 MFA_REQUIRED", "functions name the reason");
  assert.equal(ok(await again.client.rpc("mfa_required", { organization_id: acme })), true);
  await done(again.token, "/verify", { code: codeAt(gus.secret, Date.now()) });
  assert.equal(await may(acme), true);
  assert.equal(await ask(), 204);
});

Deno.test("MFA-F14: a trusted device skips the prompt, is never fresh, and can be revoked", async () => {
  const admin = await enrolled("admin");
  const acme = await createOrganization(admin);
  ok(await admin.client.rpc("set_mfa_policy", { organization_id: acme, required: true }));
  const device = await done(admin.token, "/devices", { name: "Laptop" });
  assert.ok(Date.parse(device.expires_at) - Date.now() > 29 * 86_400_000);
  const later = await signInAgain(admin);
  const may = async () =>
    ok(
      await later.client.rpc("has_permission", {
        permission: "settings:write",
        organization_id: acme,
      }),
    );
  assert.equal(await may(), false);
  const eve = await enrolled("eve");
  const { token } = device;
  assert.deepEqual(await done(eve.token, "/devices/present", { token }), { trusted: false });
  assert.deepEqual(await done(later.token, "/devices/present", { token: `${token}x` }), {
    trusted: false,
  });
  assert.deepEqual(await done(later.token, "/devices/present", { token }), { trusted: true });
  assert.equal(await may(), true);
  assert.equal(ok(await later.client.rpc("mfa_verified", { max_age: "30 days" })), false);
  assert.equal(await refusal(later.token, "/devices", {}), "403 MFA_VERIFICATION_REQUIRED");
  const { trusted_devices } = await done(later.token, "");
  assert.deepEqual(
    trusted_devices.map(({ id, name }: { id: string; name: string }) => [id, name]),
    [[device.device_id, "Laptop"]],
  );
  assert.deepEqual(
    await done(later.token, "/devices/revoke", { device_id: device.device_id }),
    { revoked: 1 },
  );
  assert.equal(await may(), false);
});

Deno.test("MFA-F15: a lost device is reset by two administrators, and nobody alone", async () => {
  const [ada, ben, cleo] = await Promise.all(["ada", "ben", "cleo"].map(enrolled));
  assert.ok(ada && ben && cleo);
  const acme = await createOrganization(ada);
  await join(ada, acme, ben, "admin");
  await join(ada, acme, cleo, "viewer");
  const elsewhere = await enrolled("elsewhere");
  await createOrganization(elsewhere);
  ok(
    await ada.client.rpc("set_mfa_policy", {
      organization_id: acme,
      required: true,
      reset_needs_approval: true,
    }),
  );
  const asked = { user_id: cleo.id, organization_id: acme, reason: "Lost the phone" };
  assert.equal(await refusal(cleo.token, "/resets", asked), "403 RBAC_PERMISSION_DENIED");
  assert.equal(await refusal(elsewhere.token, "/resets", asked), "403 RBAC_PERMISSION_DENIED");
  const { reset_id, completed } = await done(ada.token, "/resets", asked);
  assert.equal(completed, false);
  assert.equal(await refusal(ada.token, "/resets/approve", { reset_id }), "403 MFA_OWN_REQUEST");
  assert.equal(
    await refusal(elsewhere.token, "/resets/approve", { reset_id }),
    "404 MFA_UNKNOWN_RESET",
  );
  assert.equal((await done(cleo.token, "")).enrolled, true);
  assert.deepEqual(await done(ben.token, "/resets/approve", { reset_id }), { completed: true });
  const status = await done(cleo.token, "");
  assert.deepEqual([status.enrolled, status.satisfied], [false, false]);
  const told = ok(await cleo.client.from("mfa_usage_log").select("event").eq("event", "reset"));
  assert.equal(told.length, 1, "the user is told");
  assert.equal(
    await refusal(cleo.token, "/verify-backup-code", { code: cleo.backupCodes[0] }),
    refused,
  );
  // Signed in just now, the user starts over.
  await enroll(await signInAgain(cleo));
});
