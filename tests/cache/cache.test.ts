/** Cached permissions over HTTP: a revoked permission is refused on the next request. */
import assert from "node:assert/strict";
import {
  callFunction,
  connect,
  createOrganization,
  join,
  ok,
  type Person,
  service,
  signUp,
  superuserUrl,
} from "../support.ts";
import postgres from "postgres";

async function ask(person: Person, organization: string, permission = "analytics:write") {
  const query = new URLSearchParams({ permission, organization_id: organization });
  const answer = await callFunction(`rbac?${query}`, { token: person.token });
  await answer.body?.cancel();
  return answer.status;
}

async function place() {
  const [admin, member] = [await signUp("admin"), await signUp("member")];
  const organization = await createOrganization(admin);
  await join(admin, organization, member, "analyst");
  assert.deepEqual([await ask(member, organization), await ask(member, organization)], [204, 204]);
  const revoke = async () =>
    ok(
      await admin.client.rpc("revoke_role", {
        user_id: member.id,
        role: "analyst",
        organization_id: organization,
      }).then(({ error }) => ({ data: error === null, error })),
    );
  return { admin, member, organization, revoke };
}

Deno.test("CACHE-E01: a revoked permission is gone on the next request, and back when granted", async () => {
  const { admin, member, organization, revoke } = await place();
  await join(admin, organization, admin, "viewer").catch(() => {});
  ok(
    await admin.client.rpc("grant_role", {
      user_id: member.id,
      role: "viewer",
      organization_id: organization,
    }),
  );
  for (let round = 0; round < 5; round++) {
    await revoke();
    assert.equal(await ask(member, organization), 403, `round ${round}, revoked`);
    ok(
      await admin.client.rpc("grant_role", {
        user_id: member.id,
        role: "analyst",
        organization_id: organization,
      }),
    );
    assert.equal(await ask(member, organization), 204, `round ${round}, granted`);
  }
});

Deno.test("CACHE-E02: so is one that a role lost, that expired, or of a banned account", async () => {
  const sql = connect(1);
  const admin = postgres(superuserUrl, { max: 1 });
  try {
    const one = await place();
    await sql`update bulwark.user_roles set expires_at = now() + interval '3 seconds'
      where user_id = ${one.member.id}`;
    const versions = () =>
      sql`select sum(version)::int as sum from bulwark_private.permission_versions`;
    const [before] = await versions();
    const status = await ask(one.member, one.organization);
    const left = async () => {
      const [row] =
        await sql`select extract(epoch from expires_at - clock_timestamp())::float as left
        from bulwark.user_roles where user_id = ${one.member.id}`;
      return row?.left as number;
    };
    if (await left() > 0) assert.equal(status, 204, "not expired yet");
    await new Promise((resolve) => setTimeout(resolve, 3100));
    assert.ok(await left() < 0);
    assert.equal(await ask(one.member, one.organization), 403, "expired");
    const [after] = await versions();
    assert.deepEqual(after?.sum, before?.sum, "and no version moved");

    const two = await place();
    await admin`update auth.users set banned_until = now() + interval '1 day'
      where id = ${two.member.id}`;
    assert.equal(await ask(two.member, two.organization), 403, "banned");

    const three = await place();
    ok(
      await three.admin.client.rpc("create_role", {
        organization_id: three.organization,
        name: "exporter",
        permissions: ["analytics:delete"],
      }),
    );
    ok(
      await three.admin.client.rpc("grant_role", {
        user_id: three.member.id,
        role: "exporter",
        organization_id: three.organization,
      }),
    );
    assert.equal(await ask(three.member, three.organization, "analytics:delete"), 204);
    ok(
      await three.admin.client.rpc("update_role", {
        organization_id: three.organization,
        role: "exporter",
        permissions: [],
      }),
    );
    assert.equal(await ask(three.member, three.organization, "analytics:delete"), 403);
  } finally {
    await sql.end();
    await admin.end();
  }
});

Deno.test("CACHE-E03: requests racing a revocation never bring the permission back", async () => {
  for (let round = 0; round < 6; round++) {
    const { member, organization, revoke } = await place();
    let revoked = false;
    const after: number[] = [];
    const reader = async () => {
      for (let i = 0; i < 12; i++) {
        const late = revoked;
        const status = await ask(member, organization);
        if (late) after.push(status);
      }
    };
    const readers = Array.from({ length: 4 }, reader);
    await revoke();
    revoked = true;
    await Promise.all(readers);
    after.push(await ask(member, organization));
    assert.deepEqual(new Set(after), new Set([403]));
  }
});

Deno.test("CACHE-E04: a revocation that is not committed yet changes nothing, and then everything", async () => {
  const { member, organization } = await place();
  const sql = connect(1);
  try {
    await sql.begin(async (transaction) => {
      await transaction`delete from bulwark.user_roles where user_id = ${member.id}`;
      assert.equal(await ask(member, organization), 204);
    });
    assert.equal(await ask(member, organization), 403);
  } finally {
    await sql.end();
  }
});

Deno.test("CACHE-E05: only those whose permissions changed get a new list", async () => {
  const { admin, member, organization, revoke } = await place();
  const read = async (person: Person, known_version?: string) =>
    ok(
      await person.client.rpc("my_permissions", {
        organization_id: organization,
        ...(known_version ? { known_version } : {}),
      }),
    )[0]!;
  const first = await read(member);
  assert.ok(first.permissions.includes("analytics:write"));
  assert.deepEqual(await read(member, first.version), {
    version: first.version,
    permissions: null,
  });
  const other = await read(admin, first.version);
  assert.ok(other.permissions, "the version of somebody else is unknown to one's own");
  await revoke();
  const second = await read(member, first.version);
  assert.notEqual(second.version, first.version);
  assert.deepEqual(second.permissions, []);
  const { error } = await service().rpc("my_permissions", { organization_id: organization });
  assert.ok(error, "the service role is nobody");
});
