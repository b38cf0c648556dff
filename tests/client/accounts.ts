/** The journey: organizations, their people, second factors and keys. */
import type { Permission } from "../../clients/js/src/index.ts";
import { type Bulwark, codeOf, equal, type Place, refused } from "./steps.ts";

export async function organizations(ada: Bulwark, bob: Bulwark, acme: string, globex: string) {
  equal((await ada.organizations.list()).map(({ id }) => id), [acme], "Ada sees hers alone");
  equal(await ada.organizations.get(globex), null, "Ada cannot see Bob's");
  equal((await ada.organizations.update(acme, { name: "Acme Ltd" })).name, "Acme Ltd");
  await refused("RBAC_PERMISSION_DENIED", bob.organizations.update(acme, { name: "Mine" }));
  equal(await ada.can("org:update", acme), true);
  equal(await ada.can("org:update", globex), false);
  equal(await ada.can("system:admin"), false);
  const some = await ada.canAll(["audit:read", "system:admin"], acme);
  equal(some, { "audit:read": true, "system:admin": false });
  const { version, permissions } = await ada.permissions(acme);
  equal(permissions?.includes("audit:read"), true);
  equal(await ada.permissions(acme, version), { version, permissions: null });
}

export async function people(ada: Bulwark, bob: Bulwark, mia: Bulwark, place: Place, acme: string) {
  const invited = { email: place.mia.email, role: "viewer" };
  const { invitation_id } = await ada.invitations.create(acme, invited);
  await refused("RBAC_INVITATION_INVALID", bob.invitations.acceptMine(invitation_id));
  const [mine] = await mia.invitations.mine();
  equal(mine?.invitation_id, invitation_id);
  await mia.invitations.decline(invitation_id);
  equal(await mia.invitations.mine(), []);
  const other = await ada.invitations.create(acme, { email: "no@people.test", role: "viewer" });
  const sent = await ada.invitations.resend(other.invitation_id);
  await ada.invitations.revoke(sent.new_invitation_id);
  const { token } = await ada.invitations.create(acme, invited);
  equal((await mia.invitations.preview(token ?? ""))?.is_mine, true);
  equal((await bob.invitations.preview(token ?? ""))?.invitation_id, null);
  equal(await bob.invitations.preview("no such token"), null);
  await refused("RBAC_INVITATION_INVALID", bob.invitations.accept(token ?? ""));
  equal((await mia.invitations.accept(token ?? "")).organization_id, acme);
  const states = (await ada.invitations.list(acme)).map(({ state }) => state).sort();
  equal(states, ["accepted", "declined", "revoked", "revoked"]);
  equal((await ada.invitations.list(acme, { states: ["pending"] })).length, 0);
  await refused("RBAC_PERMISSION_DENIED", bob.invitations.list(acme));

  const organization = acme;
  const scopes: Permission[] = ["analytics:read"];
  const made = await ada.roles.create(acme, { name: "auditor", permissions: ["audit:read"] });
  equal(made.organization_id, acme);
  const contents = (await ada.roles.contents()).filter(({ role_id }) => role_id === made.id);
  equal(contents, [{ role_id: made.id, permission: "audit:read" }]);
  equal((await bob.roles.contents()).some(({ role_id }) => role_id === made.id), false);
  equal((await ada.roles.inheritance()).length > 0, true);
  equal((await ada.roles.permissions()).some(({ name }) => name === "audit:read"), true);
  await ada.roles.update(acme, "auditor", { description: "Reads", permissions: scopes });
  const expires_at = new Date(Date.now() + 86_400_000).toISOString();
  await ada.roles.grant({ user: place.mia.id, role: "auditor", organization, expires_at });
  await refused(
    "RBAC_PERMISSION_DENIED",
    bob.roles.grant({ user: place.mia.id, role: "viewer", organization }),
  );
  equal((await ada.roles.of(place.mia.id, acme)).map(({ role }) => role), ["viewer", "auditor"]);
  await ada.roles.explain(place.mia.id, "analytics:read", acme);
  await ada.roles.explain(place.mia.id, "audit:read", acme);
  await ada.roles.revoke({ user: place.mia.id, role: "auditor", organization });
  await ada.roles.delete(acme, "auditor");
  equal((await bob.roles.list(acme)).every((role) => role.organization_id === null), true);
  equal((await ada.members.grants(acme)).length, 2);
  equal(await bob.members.grants(acme), []);
  await members(ada, bob, mia, place, acme);
}

async function members(ada: Bulwark, bob: Bulwark, mia: Bulwark, place: Place, acme: string) {
  const me = await ada.whoami();
  equal(me.organizations.map(({ id }) => id), [acme]);
  equal(await ada.whoami(me.version), null);
  equal(
    (await mia.whoami()).organizations[0]?.permissions.includes("org:update"),
    false,
    "a viewer",
  );
  await ada.members.setRoles(acme, place.mia.id, ["analyst", "viewer"]);
  await refused(
    "RBAC_PERMISSION_DENIED",
    mia.members.setRoles(acme, place.mia.id, ["administrator"]),
  );
  equal((await ada.members.list(acme, { search: place.mia.email })).length, 1);
  const all = [];
  for await (const { user_id } of ada.members.all(acme, { page_size: 1 })) all.push(user_id);
  equal([...all].sort(), [place.ada.id, place.mia.id].sort());
  await refused("RBAC_PERMISSION_DENIED", bob.members.list(acme));
  equal((await ada.members.names(acme, [place.mia.id])).map(({ is_member }) => is_member), [true]);
  await ada.members.remove(acme, place.mia.id);
  const invited = { email: place.mia.email, role: "viewer" };
  const { token } = await ada.invitations.create(acme, invited);
  await mia.invitations.accept(token ?? "");
  await mia.organizations.leave(acme);
  const { invitation_id } = await ada.invitations.create(acme, invited);
  equal((await mia.invitations.acceptMine(invitation_id)).organization_id, acme);
  const sent = [];
  for await (const one of ada.invitations.all(acme, { page_size: 1 })) sent.push(one.invitation_id);
  equal(new Set(sent).size, sent.length, "no invitation comes twice");
  equal(sent, (await ada.invitations.list(acme)).map((one) => one.invitation_id));
}

export async function mfa(mia: Bulwark, place: Place, acme: string) {
  equal((await mia.mfa.status()).enrolled, false);
  equal(await mia.mfa.required(acme), false);
  const { secret } = await mia.mfa.enroll("Phone");
  await refused("MFA_INVALID_CODE", mia.mfa.activate("x"));
  const { backup_codes } = await mia.mfa.activate(codeOf(secret));
  equal(backup_codes?.length, 10);
  await mia.mfa.verify(codeOf(secret, 1));
  await mia.mfa.verifyBackupCode(backup_codes?.[0] ?? "");
  const { backup_codes: fresh } = await mia.mfa.newBackupCodes();
  await mia.mfa.verify(fresh[0] ?? "");
  const device = await mia.mfa.trustDevice("Laptop");
  equal(await mia.mfa.presentDevice(device.token), { trusted: true });
  await mia.mfa.enroll("Tablet");
  equal((await mia.mfa.status()).factors?.map(({ name }) => name), ["Phone"]);
  equal(await mia.mfa.revokeDevice(), { revoked: 1 });
  equal((await mia.mfa.usage(2)).map(({ event }) => event), ["trusted_device", "trust"]);
  equal(place.mia.id.length, 36);
}

export async function policies(ada: Bulwark, mia: Bulwark, place: Place, acme: string) {
  equal(await ada.mfa.policy(acme), null);
  await ada.mfa.setPolicy(acme, {
    required: true,
    grace_period: "10 days",
    reset_needs_approval: true,
  });
  equal((await ada.mfa.policy(acme))?.organization_id, acme);
  await refused("RBAC_PERMISSION_DENIED", mia.mfa.setPolicy(acme, { required: false }));
  // To reset another person's factors one has to verify one of one's own.
  const { secret } = await ada.mfa.enroll();
  await ada.mfa.activate(codeOf(secret));
  const reason = "lost the phone";
  const user_id = place.mia.id;
  const { reset_id } = await ada.mfa.requestReset({ user_id, organization_id: acme, reason });
  await refused("MFA_OWN_REQUEST", ada.mfa.approveReset(reset_id));
  equal((await ada.mfa.compliance(acme)).length, 2);
  equal((await ada.mfa.compliance(acme, { state: "locked" })).length, 0);
  const everyone = [];
  for await (const one of ada.mfa.everyone(acme, { page_size: 1 })) everyone.push(one.user_id);
  equal(everyone, (await ada.mfa.compliance(acme)).map((one) => one.user_id));
  equal((await ada.mfa.resets()).map(({ id }) => id), [reset_id]);
  await ada.mfa.cancelReset(reset_id);
  const { backup_codes } = await mia.mfa.newBackupCodes();
  await mia.mfa.disable({ backup_code: backup_codes[0] ?? "" });
}

export async function apiKeys(ada: Bulwark, acme: string) {
  equal(await ada.apiKeys.policy(acme), null);
  await ada.apiKeys.setPolicy(acme, { allowed: true, max_days: 30 });
  equal((await ada.apiKeys.policy(acme))?.max_days, 30);
  const key = await ada.apiKeys.create(acme, {
    name: "import",
    scopes: ["analytics:read"],
    networks: ["203.0.113.0/24"],
  });
  equal((await ada.apiKeys.options(acme)).scopes.length > 0, true);
  const successor = await ada.apiKeys.rotate(key.id, { overlap: "1 hour" });
  equal((await ada.apiKeys.revoke(successor.id, "over")).revoked_because, "over");
  await ada.apiKeys.create(acme, { name: "export", scopes: ["analytics:read"] });
  const keys = await ada.apiKeys.list(acme, { include_ended: true });
  equal(keys.length, 3);
  const paged = [];
  const pages = { include_ended: true, page_size: 1 };
  for await (const { id } of ada.apiKeys.all(acme, pages)) paged.push(id);
  equal(paged, keys.map(({ id }) => id), "each key comes once");
  await refused(
    "API_KEY_INVALID_NAME",
    ada.apiKeys.create(acme, { name: "", scopes: ["analytics:read"] }),
  );
}
