/**
 * The order of locks, with real parallel connections: every pair of administrative functions at
 * once, rights that are taken while they are used, and strangers who must not wait.
 */
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { account, as, organizationOf } from "../races.ts";
import { connect } from "../support.ts";

/** An organization with two administrators, a member, and one of everything that can be changed. */
interface Scene {
  organization: string;
  slug: string;
  one: string;
  two: string;
  member: string;
  superAdmin: string;
  key: string;
  endpoint: string;
  event: string;
  reset: string;
  invitation: string;
  token: string;
}

const ciphertext = `bw1.a256gcm.${"A".repeat(22)}.${"A".repeat(120)}`;

/** An account with a second factor that was verified just now, so that step-up never stands between. */
async function verified(sql: Sql): Promise<string> {
  const user = await account(sql);
  await sql`
    insert into bulwark.mfa_secrets (id, user_id, name, secret, begun_in, begun_as_first, activated_at)
    values (gen_random_uuid(), ${user}, 'phone', ${ciphertext}, ${user}, true, now())
  `;
  await sql`
    insert into bulwark_private.mfa_sessions (session_id, user_id, verified_at, method)
    values (${user}, ${user}, now(), 'totp')
  `;
  return user;
}

async function scene(sql: Sql, people: string[]): Promise<Scene> {
  const [one = "", two = "", member = "", superAdmin = ""] = people;
  const organization = await organizationOf(sql, [one, two]);
  await sql`select bulwark.grant_role(${member}, 'viewer', ${organization})`;
  const [made] = await sql`select slug from bulwark.organizations where id = ${organization}`;
  const invitation = await as(sql, one, async (t) => {
    await t`select bulwark.create_role(${organization}, 'helper')`;
    const [invited] = await t`
      select * from bulwark.invite_member(${organization}, ${`${member}@races.test`}, 'viewer')
    `;
    return invited;
  });
  const endpoint = crypto.randomUUID();
  await sql`
    select bulwark.create_webhook_endpoint(${endpoint}, ${organization}, 'Receiver',
      'https://receiver.example', ${ciphertext}, gen_random_uuid(), ${ciphertext},
      '[{"pattern": "audit.*"}]')
  `;
  const [rest] = await sql`
    with key as (
      insert into bulwark.api_keys (organization_id, owner_id, name, environment, first_characters,
        scopes, rate_limit_rule, issued_with_mfa, expires_at)
      values (${organization}, ${two}, 'a key', 'live', 'bwk_live_', '{analytics:read}',
        'api_default', true, now() + interval '1 day')
      returning id
    ), reset as (
      insert into bulwark.mfa_resets (user_id, organization_id, reason, requested_by)
      values (${member}, ${organization}, 'lost', ${one}) returning id
    )
    select key.id as key, reset.id as reset,
      bulwark.report_security_event('breach_attempt', ${organization}, null, 'a subject') as event
    from key, reset
  `;
  return {
    organization,
    slug: made?.slug,
    one,
    two,
    member,
    superAdmin,
    key: rest?.key,
    endpoint,
    event: rest?.event,
    reset: rest?.reset,
    invitation: invitation?.invitation_id,
    token: invitation?.token,
  };
}

/** Every administrative function once: by whom, and how. */
const operations: Record<string, { by: keyof Scene; run: (t: Sql, s: Scene) => Promise<unknown> }> =
  {
    create_organization: {
      by: "two",
      run: (t) => t`select bulwark.create_organization('A name', ${`x-${crypto.randomUUID()}`})`,
    },
    update_organization: {
      by: "two",
      run: (t, s) => t`select bulwark.update_organization(${s.organization}, 'Name', ${s.slug})`,
    },
    delete_organization: {
      by: "superAdmin",
      run: (t, s) => t`select bulwark.delete_organization(${s.organization}, ${s.slug})`,
    },
    grant_role: {
      by: "two",
      run: (t, s) => t`select bulwark.grant_role(${s.member}, 'analyst', ${s.organization})`,
    },
    grant_system_role: {
      by: "superAdmin",
      run: (t, s) => t`select bulwark.grant_role(${s.member}, 'viewer')`,
    },
    revoke_role: {
      by: "two",
      run: (t, s) => t`select bulwark.revoke_role(${s.member}, 'viewer', ${s.organization})`,
    },
    leave: {
      by: "member",
      run: (t, s) => t`select bulwark.revoke_role(${s.member}, 'viewer', ${s.organization})`,
    },
    create_role: {
      by: "two",
      run: (t, s) => t`select bulwark.create_role(${s.organization}, 'maker', '{}', '{viewer}')`,
    },
    update_role: {
      by: "two",
      run: (t, s) =>
        t`select bulwark.update_role(${s.organization}, 'helper', permissions => '{audit:read}')`,
    },
    delete_role: {
      by: "two",
      run: (t, s) => t`select bulwark.delete_role(${s.organization}, 'helper')`,
    },
    invite_member: {
      by: "two",
      run: (t, s) =>
        t`select bulwark.invite_member(${s.organization}, 'somebody@races.test', 'viewer')`,
    },
    accept_invitation: {
      by: "member",
      run: (t, s) => t`select bulwark.accept_invitation(${s.token})`,
    },
    revoke_invitation: {
      by: "two",
      run: (t, s) => t`select bulwark.revoke_invitation(${s.invitation})`,
    },
    set_mfa_policy: {
      by: "two",
      run: (t, s) => t`select bulwark.set_mfa_policy(${s.organization}, false)`,
    },
    request_mfa_reset: {
      by: "two",
      run: (t, s) => t`select bulwark.request_mfa_reset(${s.member}, 'lost', ${s.organization})`,
    },
    approve_mfa_reset: {
      by: "two",
      run: (t, s) => t`select bulwark.approve_mfa_reset(${s.reset})`,
    },
    cancel_mfa_reset: {
      by: "two",
      run: (t, s) => t`select bulwark.cancel_mfa_reset(${s.reset})`,
    },
    set_api_key_policy: {
      by: "two",
      run: (t, s) => t`select bulwark.set_api_key_policy(${s.organization}, true)`,
    },
    create_api_key: {
      by: "two",
      run: (t, s) => t`select bulwark.create_api_key(${s.organization}, 'new', '{analytics:read}')`,
    },
    rotate_api_key: {
      by: "two",
      run: (t, s) => t`select bulwark.rotate_api_key(${s.key})`,
    },
    revoke_api_key: {
      by: "two",
      run: (t, s) => t`select bulwark.revoke_api_key(${s.key}, 'leaked')`,
    },
    create_webhook_endpoint: {
      by: "two",
      run: (t, s) =>
        t`select bulwark.create_webhook_endpoint(gen_random_uuid(), ${s.organization}, 'Another',
          'https://receiver.example', ${ciphertext}, gen_random_uuid(), ${ciphertext},
          '[{"pattern": "audit.*"}]')`,
    },
    update_webhook_endpoint: {
      by: "two",
      run: (t, s) =>
        t`select bulwark.update_webhook_endpoint(${s.endpoint}, 'Renamed',
          subscriptions => '[{"pattern": "security.*"}]')`,
    },
    rotate_webhook_secret: {
      by: "two",
      run: (t, s) =>
        t`select bulwark.rotate_webhook_secret(${s.endpoint}, gen_random_uuid(), ${ciphertext})`,
    },
    send_test_webhook: {
      by: "two",
      run: (t, s) => t`select bulwark.send_test_webhook(${s.endpoint})`,
    },
    disable_webhook_endpoint: {
      by: "two",
      run: (t, s) => t`select bulwark.disable_webhook_endpoint(${s.endpoint})`,
    },
    delete_webhook_endpoint: {
      by: "two",
      run: (t, s) => t`select bulwark.delete_webhook_endpoint(${s.endpoint})`,
    },
    assign_security_event: {
      by: "two",
      run: (t, s) => t`select bulwark.assign_security_event(${s.event}, ${s.one})`,
    },
    resolve_security_event: {
      by: "two",
      run: (t, s) => t`select bulwark.resolve_security_event(${s.event}, 'seen')`,
    },
    place_legal_hold: {
      by: "superAdmin",
      run: (t, s) => t`select bulwark.place_legal_hold('a case', ${s.organization})`,
    },
    erase_subject: {
      by: "superAdmin",
      run: (t, s) => t`select bulwark.erase_subject(${s.member}, 'asked for', ${s.organization})`,
    },
    shred_organization: {
      by: "superAdmin",
      run: (t, s) => t`select bulwark.shred_organization(${s.organization}, ${s.slug})`,
    },
    set_rate_limit: {
      by: "superAdmin",
      run: (t, s) => t`select bulwark.set_rate_limit('api_default', 60, 60, ${s.organization})`,
    },
  };

/** Not functions of ours, but they take grants along. */
const deletions: Record<string, (sql: Sql, s: Scene) => Promise<unknown>> = {
  "deletion of a member's account": (sql, s) => sql`delete from auth.users where id = ${s.member}`,
  "deletion of an administrator's account": (sql, s) =>
    sql`delete from auth.users where id = ${s.two}`,
};

async function run(sql: Sql, name: string, s: Scene): Promise<unknown> {
  const operation = operations[name];
  if (operation) {
    return await as(
      sql,
      s[operation.by],
      (t) => operation.run(t, s),
    );
  }
  return await deletions[name]?.(sql, s);
}

/** The code and the detail of what went wrong; nothing where it went well. */
function problem(result: PromiseSettledResult<unknown>): string {
  if (result.status === "fulfilled") return "";
  return `${result.reason.code} ${result.reason.detail ?? result.reason.message}`;
}

/** Groups of four names, so that every two of them are in one group at least. */
function groupsOfFour(names: string[]): string[][] {
  const pair = (one: string, other: string) => [one, other].sort().join();
  const left = new Set(names.flatMap((one) => names.map((other) => pair(one, other))));
  const groups: string[][] = [];
  while (left.size > 0) {
    const group: string[] = [];
    const unmet = (name: string, others: string[]) =>
      others.filter((other) => left.has(pair(name, other))).length;
    while (group.length < 4) {
      const ranked = names.filter((name) => !group.includes(name))
        .map((name) => ({ name, inGroup: unmet(name, group), inAll: unmet(name, names) }))
        .sort((one, other) => other.inGroup - one.inGroup || other.inAll - one.inAll);
      group.push(ranked[0]?.name ?? "");
    }
    for (const one of group) for (const other of group) left.delete(pair(one, other));
    groups.push(group);
  }
  return groups;
}

Deno.test("RBAC-R12: no two administrative functions wait for each other, in any pair", async () => {
  const sql = connect(8);
  const names = [...Object.keys(operations), ...Object.keys(deletions)];
  const people = await Promise.all([1, 2, 3, 4].map(() => verified(sql)));
  await sql`select bulwark.grant_role(${people[3] ?? ""}, 'super_admin')`;
  const deadlocks: string[] = [];
  const refusals = new Set<string>();
  const works = new Set<string>();
  // In groups, because making the scene takes longer than what runs in it. Each also by itself, as
  // the others may take its right away first; and twice at once, so that it meets itself.
  for (const group of [...groupsOfFour(names), ...names.map((name) => [name])]) {
    const s = await scene(sql, people);
    if (group.join() === "request_mfa_reset") {
      // There is one request for a member at a time.
      await sql`delete from bulwark.mfa_resets where id = ${s.reset}`;
    }
    const all = [...group, ...group.toReversed()];
    const results = await Promise.allSettled(all.map((name) => run(sql, name, s)));
    // Their accounts are gone, or the member's role in all organizations outranks an administrator.
    if (group.some((name) => name in deletions || name === "grant_system_role")) {
      people.splice(1, 2, await verified(sql), await verified(sql));
    }
    results.forEach((result, place) => {
      const name = all[place] ?? "";
      if (result.status === "fulfilled") works.add(name);
      else if (result.reason.code === "40P01") deadlocks.push(group.join(", "));
      else refusals.add(`${name}: ${problem(result)}`);
    });
  }
  assert.deepEqual([...new Set(deadlocks)], []);
  // Each did its work at least once, so that the pairs met where the locks are.
  assert.deepEqual(names.filter((name) => !works.has(name)), [], [...refusals].join("\n"));
  await sql.end();
});

Deno.test("RBAC-R13: ten who act on rights in turn do not keep a change of system-wide rights waiting", async () => {
  const sql = connect(12);
  const [admin, superAdmin, target] = await Promise.all([1, 2, 3].map(() => account(sql)));
  assert.ok(admin && superAdmin && target);
  const organization = await organizationOf(sql, [admin]);
  await sql`select bulwark.grant_role(${superAdmin}, 'super_admin')`;
  let done = false;
  const busy = Array.from({ length: 10 }, async () => {
    while (!done) {
      await as(sql, admin, async (t) => {
        await t`select bulwark.set_api_key_policy(${organization}, true)`;
        await t`select pg_sleep(0.02)`;
      });
    }
  });
  try {
    for (let round = 0; round < 3; round++) {
      await as(sql, superAdmin, async (t) => {
        await t`set local statement_timeout = '20s'`;
        await t`select bulwark.grant_role(${target}, 'viewer')`;
      });
    }
  } finally {
    done = true;
    await Promise.allSettled(busy);
  }
  await sql.end();
});

Deno.test("RBAC-R14: a user who is being demoted does nothing any more with the right", async () => {
  const sql = connect(6);
  const outcomes: string[] = [];
  for (const [name, operation] of Object.entries(operations)) {
    // One's own key can always be revoked.
    if (operation.by !== "two" || /create_organization|revoke_api_key/.test(name)) continue;
    const people = await Promise.all([1, 2, 3, 4].map(() => verified(sql)));
    const s = await scene(sql, people);
    let acting: Promise<PromiseSettledResult<unknown>[]> = Promise.resolve([]);
    await as(sql, s.one, async (t) => {
      await t`select bulwark.revoke_role(${s.two}, 'admin', ${s.organization})`;
      acting = Promise.allSettled([run(sql, name, s)]);
      await t`select pg_sleep(0.15)`;
    });
    const [result] = await acting;
    assert.ok(result);
    const refused =
      /RBAC_PERMISSION_DENIED|API_KEY_NOT_FOUND|MFA_UNKNOWN_RESET|_NOT_FOUND|UNKNOWN_ENDPOINT/;
    if (!refused.test(problem(result))) outcomes.push(`${name}: ${problem(result)}`);
  }
  assert.deepEqual(outcomes, []);
  await sql.end();
});

Deno.test("RBAC-R15: a stranger is refused at once, whatever rows and rights others hold", async () => {
  const sql = connect(6);
  const stranger = await verified(sql);
  const people = await Promise.all([1, 2, 3, 4].map(() => verified(sql)));
  const s = { ...await scene(sql, people), two: stranger, member: stranger, superAdmin: stranger };
  const waited: string[] = [];
  await sql.begin(async (t) => {
    await t`select bulwark_private.lock_rights(null, true), bulwark_private.lock_rights(${s.organization}, true)`;
    await t`select from bulwark.api_keys where id = ${s.key} for update`;
    await t`select from bulwark.webhook_endpoints where id = ${s.endpoint} for update`;
    await t`select from bulwark.security_events where id = ${s.event} for update`;
    await t`select from bulwark.mfa_resets where id = ${s.reset} for update`;
    await t`select from bulwark.invitations where id = ${s.invitation} for update`;
    await t`select from bulwark.organizations where id = ${s.organization} for update`;
    for (const [name, operation] of Object.entries(operations)) {
      if (name === "create_organization") continue;
      const [result] = await Promise.allSettled([as(
        sql,
        stranger,
        async (other) => {
          await other`set local lock_timeout = '1s'`;
          await operation.run(other, s);
        },
      )]);
      assert.ok(result);
      if (result.status === "fulfilled" || result.reason.code === "55P03") {
        waited.push(`${name}: ${problem(result)}`);
      }
    }
  });
  assert.deepEqual(waited, []);
  await sql.end();
});
