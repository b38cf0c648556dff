import { expect, type Place, refused, signUp, step, title, type Visitor } from "./guide.ts";

/** Organizations, roles and permissions. */
export async function rbac(place: Place): Promise<void> {
  title("Three people sign up; Ada makes an organization");
  const [ada, vic, eve] = await Promise.all(["Ada", "Vic", "Eve"].map((n) => signUp(place, n)));
  if (!ada || !vic || !eve) return;
  const slug = `tour-${crypto.randomUUID().slice(0, 8)}`;
  const { id: organization_id } = await step(
    "Ada makes an organization and is its administrator",
    ada.bulwark.rpc("create_organization", { name: "Tour", slug }),
  );

  title("Ada invites Vic; the token works once, and for Vic alone");
  const [invitation] = await step(
    "Ada invites Vic as viewer",
    ada.bulwark.rpc("invite_member", { organization_id, email: vic.email, role: "viewer" }),
  );
  const token = invitation?.token ?? "";
  const accept = (visitor: Visitor) => visitor.bulwark.rpc("accept_invitation", { token });
  await refused("Eve found the token", "RBAC_INVITATION_INVALID", accept(eve));
  await step("Vic accepts", accept(vic));
  await refused("Vic accepts again", "RBAC_INVITATION_INVALID", accept(vic));

  title("A table with policies: reports");
  const read = (visitor: Visitor) =>
    visitor.client.from("reports").select("title").eq("organization_id", organization_id)
      .order("id");
  const write = (visitor: Visitor, title: string) =>
    visitor.client.from("reports").insert({ organization_id, title });
  await step("Ada writes a report", write(ada, "First quarter"));
  await expect("Vic reads", [{ title: "First quarter" }], read(vic));
  await expect("Eve reads", [], read(eve));
  await refused("Vic writes as a viewer", "42501", write(vic, "Mine"));

  title("An analyst for an hour");
  const expires_at = new Date(Date.now() + 3600_000).toISOString();
  await step(
    "Ada grants Vic the role analyst for an hour",
    ada.bulwark.rpc("grant_role", {
      user_id: vic.id,
      role: "analyst",
      organization_id,
      expires_at,
    }),
  );
  await step("Vic writes, with the token from before", write(vic, "Mine"));
  const [why] = await step(
    "Ada asks why Vic may",
    ada.bulwark.rpc("explain_permission", {
      user_id: vic.id,
      permission: "analytics:write",
      organization_id,
    }),
  );
  console.log(`           through ${why?.role}, held by ${why?.inherited_from}, for an hour`);
  await refused(
    "Vic makes himself an administrator",
    "RBAC_PERMISSION_DENIED",
    vic.bulwark.rpc("grant_role", { user_id: vic.id, role: "admin", organization_id }),
  );
  await refused(
    "Vic writes himself a grant",
    "42501",
    vic.bulwark.from("user_roles").update({ expires_at: null }).eq("user_id", vic.id),
  );

  title("Revoked: the very next request, with the old token");
  for (const role of ["analyst", "viewer"]) {
    await step(
      `Ada revokes ${role}`,
      ada.bulwark.rpc("revoke_role", { user_id: vic.id, role, organization_id }),
    );
  }
  await expect("Vic reads", [], read(vic));
  await refused("Vic writes", "42501", write(vic, "Still here?"));
  await expect(
    "Vic holds analytics:read",
    false,
    vic.bulwark.rpc("has_permission", { permission: "analytics:read", organization_id }),
  );
  await refused(
    "Ada, the last administrator, leaves",
    "RBAC_LAST_ADMINISTRATOR",
    ada.bulwark.rpc("revoke_role", { user_id: ada.id, role: "admin", organization_id }),
  );
}
