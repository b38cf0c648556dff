/** Races with real parallel connections; each is run many times. */
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { account, as, organizationOf } from "../races.ts";
import { connect } from "../support.ts";

const rounds = 15;

async function administratorsOf(sql: Sql, organization: string): Promise<number> {
  const [row] = await sql`
    select count(*)::int as n from bulwark.user_roles
    where organization_id = ${organization} and role_id = bulwark_private.admin_role()
  `;
  return row?.n;
}

for (const isolation of ["read committed", "repeatable read", "serializable"]) {
  Deno.test(`RBAC-R01: of two last administrators that leave at once one stays (${isolation})`, async () => {
    const sql = connect(4);
    for (let round = 0; round < rounds; round++) {
      const [one, two] = [await account(sql), await account(sql)];
      const organization = await organizationOf(sql, [one, two]);
      const left = await Promise.allSettled([one, two].map((user) =>
        as(
          sql,
          user,
          (t) => t`select bulwark.revoke_role(${user}, 'admin', ${organization})`,
          isolation,
        )
      ));
      assert.equal(left.filter(({ status }) => status === "fulfilled").length, 1);
      assert.equal(await administratorsOf(sql, organization), 1);
    }
    await sql.end();
  });
}

Deno.test("RBAC-R02: of two administrators that demote each other at once one stays", async () => {
  const sql = connect(4);
  for (let round = 0; round < rounds; round++) {
    const [one, two] = [await account(sql), await account(sql)];
    const organization = await organizationOf(sql, [one, two]);
    await Promise.allSettled(
      [[one, two], [two, one]].map(([actor = "", target = ""]) =>
        as(sql, actor, (t) => t`select bulwark.revoke_role(${target}, 'admin', ${organization})`)
      ),
    );
    assert.equal(await administratorsOf(sql, organization), 1);
  }
  await sql.end();
});

Deno.test("RBAC-R18: two administrators that remove or demote each other, or leave, at once leave one", async () => {
  const sql = connect(4);
  const ways = [
    (t: Sql, organization: string, _actor: string, target: string) =>
      t`select bulwark.remove_member(${organization}, ${target})`,
    (t: Sql, organization: string, _actor: string, target: string) =>
      t`select bulwark.set_member_roles(${organization}, ${target}, array['viewer'])`,
    (t: Sql, organization: string) => t`select bulwark.leave_organization(${organization})`,
  ];
  for (let round = 0; round < rounds; round++) {
    const [one, two] = [await account(sql), await account(sql)];
    const organization = await organizationOf(sql, [one, two]);
    const done = await Promise.allSettled(
      [[one, two], [two, one]].map(([actor = "", target = ""], place) =>
        as(sql, actor, async (t) => {
          const way = ways[(round + place * (round % 2)) % ways.length];
          await way?.(t, organization, actor, target);
        })
      ),
    );
    assert.ok(done.some(({ status }) => status === "fulfilled"));
    assert.equal(await administratorsOf(sql, organization), 1);
  }
  await sql.end();
});

Deno.test("RBAC-R03: deleting the accounts of all administrators at once leaves one", async () => {
  const sql = connect(6);
  for (let round = 0; round < rounds; round++) {
    const users = await Promise.all([1, 2, 3].map(() => account(sql)));
    const organization = await organizationOf(sql, users);
    await Promise.allSettled(
      users.map((user) => sql`delete from auth.users where id = ${user}`.execute()),
    );
    assert.equal(await administratorsOf(sql, organization), 1);
  }
  await sql.end();
});

Deno.test("RBAC-R04: an invitation accepted twenty times at once is accepted once", async () => {
  const sql = connect(20);
  for (let round = 0; round < 5; round++) {
    const [admin, invitee] = [await account(sql), await account(sql)];
    const organization = await organizationOf(sql, [admin]);
    const [invitation] = await as(
      sql,
      admin,
      (t) =>
        t`select * from bulwark.invite_member(${organization}, ${
          invitee + "@races.test"
        }, 'viewer')`,
    );
    const accepted = await Promise.allSettled(
      Array.from(
        { length: 20 },
        () => as(sql, invitee, (t) => t`select bulwark.accept_invitation(${invitation?.token})`),
      ),
    );
    assert.equal(accepted.filter(({ status }) => status === "fulfilled").length, 1);
    const [row] = await sql`
      select count(*)::int as n from bulwark.user_roles where user_id = ${invitee}
    `;
    assert.equal(row?.n, 1);
  }
  await sql.end();
});

Deno.test("RBAC-R05: an address invited ten times at once has one pending invitation", async () => {
  const sql = connect(10);
  const admin = await account(sql);
  const organization = await organizationOf(sql, [admin]);
  const sent = await Promise.allSettled(
    Array.from(
      { length: 10 },
      () =>
        as(
          sql,
          admin,
          (t) => t`select bulwark.invite_member(${organization}, 'same@races.test', 'viewer')`,
        ),
    ),
  );
  assert.ok(sent.every(({ status }) => status === "fulfilled"));
  const [row] = await sql`
    select count(*)::int as n from bulwark.invitations
    where organization_id = ${organization} and accepted_at is null and revoked_at is null
  `;
  assert.equal(row?.n, 1);
  await sql.end();
});

Deno.test("RBAC-R06: two edits that would close a cycle together do not", async () => {
  const sql = connect(4);
  const admin = await account(sql);
  for (let round = 0; round < rounds; round++) {
    const organization = await organizationOf(sql, [admin]);
    for (const name of ["left", "right"]) {
      await as(sql, admin, (t) => t`select bulwark.create_role(${organization}, ${name})`);
    }
    await Promise.allSettled(
      [["left", "right"], ["right", "left"]].map(([role = "", other = ""]) =>
        as(
          sql,
          admin,
          (t) =>
            t`select bulwark.update_role(${organization}, ${role}, inherits => array[${other}])`,
        )
      ),
    );
    const [row] = await sql`
      select count(*)::int as n from bulwark.role_inheritance i
      join bulwark.roles r on r.id = i.role_id
      where r.organization_id = ${organization}
    `;
    assert.equal(row?.n, 1);
  }
  await sql.end();
});

Deno.test("RBAC-R07: one slug asked for ten times at once is given once", async () => {
  const sql = connect(10);
  const users = await Promise.all(Array.from({ length: 10 }, () => account(sql)));
  const slug = `race-${crypto.randomUUID()}`;
  const made = await Promise.allSettled(
    users.map((user) =>
      as(sql, user, (t) => t`select bulwark.create_organization('Race', ${slug})`)
    ),
  );
  assert.equal(made.filter(({ status }) => status === "fulfilled").length, 1);
  for (const result of made) {
    if (result.status === "rejected") assert.equal(result.reason.detail, "RBAC_SLUG_TAKEN");
  }
  await sql.end();
});

Deno.test("RBAC-R08: a user whose role is being revoked cannot grant it to themselves meanwhile", async () => {
  const sql = connect(10);
  for (let round = 0; round < rounds; round++) {
    const [one, two] = [await account(sql), await account(sql)];
    const organization = await organizationOf(sql, [one, two]);
    let revoked = false;
    const insist = async () => {
      while (!revoked) {
        await as(sql, two, (t) => t`select bulwark.grant_role(${two}, 'admin', ${organization})`)
          .catch(() => {});
      }
      await as(sql, two, (t) => t`select bulwark.grant_role(${two}, 'admin', ${organization})`)
        .catch(() => {});
    };
    const insisting = Array.from({ length: 6 }, insist);
    await as(sql, one, (t) => t`select bulwark.revoke_role(${two}, 'admin', ${organization})`);
    revoked = true;
    await Promise.all(insisting);
    assert.equal(await administratorsOf(sql, organization), 1);
  }
  await sql.end();
});

Deno.test("RBAC-R09: an invitation is not accepted while its sender is being revoked", async () => {
  const sql = connect(4);
  for (let round = 0; round < rounds; round++) {
    const [one, two, puppet] = [await account(sql), await account(sql), await account(sql)];
    const organization = await organizationOf(sql, [one, two]);
    const [invitation] = await as(
      sql,
      two,
      (t) =>
        t`select * from bulwark.invite_member(${organization}, ${puppet + "@races.test"}, 'admin')`,
    );
    let accepting: Promise<unknown> = Promise.resolve();
    await as(sql, one, async (t) => {
      await t`select bulwark.revoke_role(${two}, 'admin', ${organization})`;
      accepting = as(sql, puppet, (p) => p`select bulwark.accept_invitation(${invitation?.token})`)
        .catch((error) => error.detail);
      await t`select pg_sleep(0.05)`;
    });
    assert.equal(await accepting, "RBAC_INVITATION_INVALID");
    assert.equal(await administratorsOf(sql, organization), 1);
  }
  await sql.end();
});

Deno.test("RBAC-R10: of two administrators that revoke each other only the first succeeds", async () => {
  const sql = connect(4);
  for (let round = 0; round < rounds; round++) {
    const [one, two, three] = [await account(sql), await account(sql), await account(sql)];
    const organization = await organizationOf(sql, [one, two, three]);
    await Promise.allSettled(
      [[one, two], [two, one]].map(([actor = "", target = ""]) =>
        as(sql, actor, (t) => t`select bulwark.revoke_role(${target}, 'admin', ${organization})`)
      ),
    );
    assert.equal(await administratorsOf(sql, organization), 2);
  }
  await sql.end();
});

Deno.test("RBAC-R11: a role made while a permission leaves the role it inherits does not keep it", async () => {
  const sql = connect(4);
  const admin = await account(sql);
  const organization = await organizationOf(sql, [admin]);
  const permission = "races:leave";
  const base =
    sql`(select id from bulwark.roles where name = 'viewer' and organization_id is null)`;
  await sql`insert into bulwark.permissions values (${permission}, 'Leaves') on conflict do nothing`;
  await sql`
    insert into bulwark.role_permissions select ${base}, ${permission} on conflict do nothing
  `;
  let leaving: Promise<unknown> = Promise.resolve();
  await as(sql, admin, async (t) => {
    await t`select bulwark.create_role(${organization}, 'heir', '{}', '{viewer}')`;
    leaving = sql`delete from bulwark.role_permissions where permission = ${permission}`.execute();
    await t`select pg_sleep(0.2)`;
  });
  await leaving;
  const stale = await sql`
    select from bulwark_private.effective_permissions where permission = ${permission}
  `;
  assert.equal(stale.length, 0);
  await sql.end();
});

/** How many of twenty calls were accepted, and the codes of the refused. */
async function twenty(run: (place: number) => Promise<unknown>): Promise<[number, Set<string>]> {
  const results = await Promise.allSettled(Array.from({ length: 20 }, (_, place) => run(place)));
  const refused = results.filter((result) => result.status === "rejected");
  return [20 - refused.length, new Set(refused.map(({ reason }) => reason.detail))];
}

Deno.test("RBAC-R16: twenty organizations asked for at once stay within the limit of one account", async () => {
  const sql = connect(20);
  const user = await account(sql);
  await sql`update bulwark.settings set value = '3' where name = 'rbac.self_service_limit'`;
  const [made, refusals] = await twenty(() =>
    as(sql, user, (t) => t`select bulwark.create_organization('A', ${`x-${crypto.randomUUID()}`})`)
  );
  await sql`update bulwark.settings set value = '100' where name = 'rbac.self_service_limit'`;
  assert.equal(made, 3);
  assert.deepEqual(refusals, new Set(["RBAC_TOO_MANY_ORGANIZATIONS"]));
  await sql.end();
});

Deno.test("RBAC-R17: twenty invitations sent at once stay within the limit of one organization", async () => {
  const sql = connect(20);
  const admin = await account(sql);
  const organization = await organizationOf(sql, [admin]);
  await sql`update bulwark.settings set value = '3' where name = 'rbac.pending_invitations'`;
  const invite = (place: number) =>
    as(
      sql,
      admin,
      (t) => t`select bulwark.invite_member(${organization}, ${`${place}@races.test`}, 'viewer')`,
    );
  const [made, refusals] = await twenty(invite);
  await sql`
    select bulwark.revoke_invitation(id) from bulwark.invitations
    where organization_id = ${organization} and revoked_at is null
  `;
  const [again] = await twenty(async (place) => {
    await invite(place);
    await sql`
      select bulwark.revoke_invitation(id) from bulwark.invitations
      where organization_id = ${organization} and email = ${`${place}@races.test`}
        and revoked_at is null
    `;
  });
  await sql`update bulwark.settings set value = '1000' where name = 'rbac.pending_invitations'`;
  assert.equal(made, 3);
  assert.deepEqual(refusals, new Set(["RBAC_TOO_MANY_INVITATIONS"]));
  // Revoking makes room, but not for more than four times as many a day.
  assert.ok(again <= 9, `${again} more`);
  await sql.end();
});
