/** Twenty parallel calls never exceed a limit on how many of something may exist. */
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { account, as, organizationOf } from "../races.ts";
import { connect } from "../support.ts";

/** A setting, what it limits, and the code of the refusal. */
interface Limit {
  setting: string;
  code: string;
  make: (t: Sql, organization: string, place: number) => Promise<unknown>;
  count: (sql: Sql, organization: string) => Promise<number>;
}

/** So many more than there are, so that other tests' rows do not count. */
const room = 3;

const limits: Limit[] = [
  {
    setting: "metrics.alert_rules",
    code: "METRICS_TOO_MANY_ALERT_RULES",
    make: (t, _, place) =>
      t`select bulwark.set_alert_rule(${`rule_${place}`}, 'any', 'last', warning => 1)`,
    count: (sql) => countOf(sql`select count(*)::int as n from bulwark_private.alert_rules`),
  },
  {
    setting: "audit.legal_holds",
    code: "AUDIT_TOO_MANY_HOLDS",
    make: (t, organization) => t`select bulwark.place_legal_hold('a case', ${organization})`,
    count: (sql, organization) =>
      countOf(sql`
        select count(*)::int as n from bulwark.audit_legal_holds
        where organization_id = ${organization} and released_at is null
      `),
  },
  {
    setting: "rate_limits.listed_networks",
    code: "RATE_LIMIT_TOO_MANY_NETWORKS",
    make: (t, _, place) =>
      t`select bulwark.list_network(${`198.51.100.${place}`}, 'block', 'a test')`,
    count: (sql) => countOf(sql`select count(*)::int as n from bulwark.rate_limit_networks`),
  },
  {
    setting: "rate_limits.overrides",
    code: "RATE_LIMIT_TOO_MANY_OVERRIDES",
    make: (t) =>
      t`select bulwark.set_rate_limit('api_strict', 5, 60, api_key_id => gen_random_uuid())`,
    count: (sql) => countOf(sql`select count(*)::int as n from bulwark.rate_limit_overrides`),
  },
];

async function countOf(query: Promise<readonly { n?: number }[]>): Promise<number> {
  return (await query)[0]?.n ?? 0;
}

async function superAdmin(sql: Sql): Promise<string> {
  const user = await account(sql);
  await sql`select bulwark.grant_role(${user}, 'super_admin')`;
  return user;
}

async function withSetting(sql: Sql, name: string, value: number, work: () => Promise<void>) {
  const [before] = await sql`select value from bulwark.settings where name = ${name}`;
  await sql`update bulwark.settings set value = to_jsonb(${value}::int) where name = ${name}`;
  try {
    await work();
  } finally {
    await sql`update bulwark.settings set value = ${before?.value} where name = ${name}`;
  }
}

for (const [index, limit] of limits.entries()) {
  Deno.test(`LIMIT-R0${index + 1}: twenty at once stay within ${limit.setting}`, async () => {
    const sql = connect(20);
    const organization = await organizationOf(sql, [await account(sql)]);
    const caller = await superAdmin(sql);
    const before = await limit.count(sql, organization);
    await withSetting(sql, limit.setting, before + room, async () => {
      const results = await Promise.allSettled(
        Array.from(
          { length: 20 },
          (_, place) => as(sql, caller, (t) => limit.make(t, organization, place)),
        ),
      );
      const refused = results.filter((result) => result.status === "rejected");
      assert.deepEqual(
        new Set(refused.map(({ reason }) => `${reason.code} ${reason.detail}`)),
        new Set([`PT409 ${limit.code}`]),
      );
      assert.equal(20 - refused.length, room);
      assert.equal(await limit.count(sql, organization), before + room);
    });
    await sql.end();
  });
}

Deno.test("LIMIT-R05: placing and releasing holds in turn is limited a day", async () => {
  const sql = connect(20);
  const organization = await organizationOf(sql, [await account(sql)]);
  const caller = await superAdmin(sql);
  await withSetting(sql, "audit.legal_holds", room, async () => {
    await Promise.allSettled(Array.from({ length: 20 }, () =>
      as(sql, caller, async (t) => {
        const [hold] = await t`select bulwark.place_legal_hold('a case', ${organization}) as id`;
        await t`select bulwark.release_legal_hold(${hold?.id})`;
      })));
  });
  const [{ n } = { n: 0 }] = await sql`
    select count(*)::int as n from bulwark.audit_legal_holds where organization_id = ${organization}
  `;
  assert.equal(n, 4 * room);
  await sql.end();
});

Deno.test("LIMIT-R06: resets asked for and cancelled in turn are limited a day", async () => {
  const sql = connect(20);
  const [admin = "", member = ""] = await Promise.all([1, 2].map(() => account(sql)));
  const organization = await organizationOf(sql, [admin]);
  await sql`select bulwark.grant_role(${member}, 'viewer', ${organization})`;
  const ciphertext = `bw1.a256gcm.${"A".repeat(22)}.${"A".repeat(120)}`;
  await sql`
    insert into bulwark.mfa_secrets (id, user_id, name, secret, begun_in, begun_as_first, activated_at)
    values (gen_random_uuid(), ${admin}, 'phone', ${ciphertext}, ${admin}, true, now())
  `;
  await sql`
    insert into bulwark_private.mfa_sessions (session_id, user_id, verified_at, method)
    values (${admin}, ${admin}, now(), 'totp')
  `;
  let codes = new Set<string>();
  await withSetting(sql, "mfa.resets_per_day", room, async () => {
    await as(
      sql,
      admin,
      (t) => t`select bulwark.set_mfa_policy(${organization}, false, reset_needs_approval => true)`,
    );
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, () =>
        as(sql, admin, async (t) => {
          const [reset] = await t`
          select reset_id from bulwark.request_mfa_reset(${member}, 'lost', ${organization})
        `;
          await t`select bulwark.cancel_mfa_reset(${reset?.reset_id})`;
        })),
    );
    codes = new Set(results.flatMap((r) => r.status === "rejected" ? [r.reason.detail] : []));
  });
  const [{ n } = { n: 0 }] = await sql`
    select count(*)::int as n from bulwark.mfa_resets where user_id = ${member}
  `;
  assert.deepEqual(codes, new Set(["MFA_TOO_MANY_RESETS"]));
  assert.equal(n, room);
  await sql.end();
});
