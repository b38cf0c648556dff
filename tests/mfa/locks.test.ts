/**
 * The order of locks about an account's second factor, with real parallel connections: the account is
 * deleted, or cleaned up after, while its owner is verifying, enrolling or trusting a device.
 */
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { account, as, organizationOf } from "../races.ts";
import { connect } from "../support.ts";

/** Somebody with a factor that was verified just now, and something of everything begun. */
interface Scene {
  user: string;
  factor: string;
  attempts: string[];
  code: string;
  device: string;
}

const ciphertext = `bw1.a256gcm.${"A".repeat(22)}.${"A".repeat(120)}`;
const hashes = () =>
  Array.from({ length: 10 }, () => crypto.randomUUID().replaceAll("-", "").repeat(2));

async function scene(sql: Sql): Promise<Scene> {
  const user = await account(sql);
  await organizationOf(sql, [await account(sql), user]);
  const factor = crypto.randomUUID();
  const device = crypto.randomUUID();
  const [code = ""] = hashes();
  await sql`
    insert into bulwark.mfa_secrets (id, user_id, name, secret, begun_in, begun_as_first, activated_at)
    values (${factor}, ${user}, 'phone', ${ciphertext}, ${user}, true, now()),
      (gen_random_uuid(), ${user}, 'begun', ${ciphertext}, ${user}, false, null)
  `;
  await sql`
    insert into bulwark_private.mfa_sessions (session_id, user_id, verified_at, method)
    values (${user}, ${user}, now(), 'totp')
  `;
  await sql`
    insert into bulwark_private.mfa_backup_codes (user_id, code_hash)
    values (${user}, decode(${code}, 'hex'))
  `;
  await sql`
    insert into bulwark_private.mfa_trusted_devices (user_id, name, token_hash, expires_at)
    select ${user}, 'old ' || n, sha256(convert_to(${user} || n, 'UTF8')), now() + interval '1 s' * n
    from generate_series(1, 5) as n
  `;
  await sql`
    insert into bulwark_private.mfa_trusted_devices (user_id, name, token_hash, expires_at)
    values (${user}, 'laptop', sha256(convert_to(${device}, 'UTF8')), now() + interval '1 day')
  `;
  await sql`
    insert into bulwark.mfa_usage_log (user_id, event, succeeded, occurred_at)
    values (${user}, 'verify', true, now() - interval '1 year')
  `;
  const attempts = [];
  for (const purpose of ["verify", "backup_code", "activate", "disable", "enroll", "regenerate"]) {
    const [made] = await sql`
      insert into bulwark_private.mfa_attempts (user_id, session_id, purpose, admitted, step)
      values (${user}, ${user}, ${purpose}, true, 1000) returning id
    `;
    attempts.push(made?.id);
  }
  await sql`
    insert into bulwark_private.mfa_accounts (user_id, failures)
    values (${user}, array[clock_timestamp()])
  `;
  return { user, factor, attempts, code, device };
}

const own = (run: (t: Sql, s: Scene) => Promise<unknown>) => (sql: Sql, s: Scene) =>
  as(sql, s.user, (t) => run(t, s));

const operations: Record<string, (sql: Sql, s: Scene) => Promise<unknown>> = {
  begin_mfa_attempt: own((t) => t`select bulwark.begin_mfa_attempt('verify')`),
  begin_mfa_enrolment: own((t) => t`select bulwark.begin_mfa_enrolment()`),
  begin_backup_codes: own((t) => t`select bulwark.begin_backup_codes()`),
  trust_device: own((t) => t`select bulwark.trust_device('another')`),
  present_trusted_device: own((t, s) => t`select bulwark.present_trusted_device(${s.device})`),
  revoke_trusted_device: own((t) => t`select bulwark.revoke_trusted_device()`),
  remove_mfa_factor: own((t, s) => t`select bulwark.remove_mfa_factor(${s.factor})`),
  complete_mfa_verification: (sql, s) =>
    sql`select bulwark.complete_mfa_verification(${s.attempts[0] ?? ""}, ${s.factor}, 1000)`,
  complete_mfa_backup_code: (sql, s) =>
    sql`select bulwark.complete_mfa_backup_code(${s.attempts[1] ?? ""}, ${s.code})`,
  complete_mfa_activation: (sql, s) =>
    sql`
      select bulwark.complete_mfa_activation(${s.attempts[2] ?? ""}, ${s.factor}, 1000, ${hashes()})
    `,
  disable: (sql, s) =>
    sql`select bulwark.complete_mfa_backup_code(${s.attempts[3] ?? ""}, ${s.code})`,
  store_mfa_secret: (sql, s) =>
    sql`select bulwark.store_mfa_secret(${s.attempts[4] ?? ""}, ${ciphertext}, 'tablet')`,
  store_backup_codes: (sql, s) =>
    sql`select bulwark.store_backup_codes(${s.attempts[5] ?? ""}, ${hashes()})`,
  cleanup_mfa: (sql) => sql`select bulwark.cleanup_mfa()`,
};

const deletion = (sql: Sql, s: Scene) => sql`delete from auth.users where id = ${s.user}`;

/** So many connections of this database wait for a lock. */
async function waiting(sql: Sql, count: number): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const [row] = await sql`
      select count(*)::int as n from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'
    `;
    if (row?.n >= count) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Results that are neither a success nor a refusal with a code of ours. */
function problems(name: string, results: PromiseSettledResult<unknown>[]): string[] {
  return results.flatMap((result) => {
    if (result.status === "fulfilled" || /^[A-Z_]+$/.test(result.reason.detail ?? "")) return [];
    return [`${name}: ${result.reason.code} ${result.reason.message}`];
  });
}

Deno.test("MFA-R02: an account is deleted in the middle of what its owner does, without a deadlock", async () => {
  const sql = connect(6);
  const found: string[] = [];
  for (const [name, operation] of Object.entries(operations)) {
    const s = await scene(sql);
    let both: Promise<PromiseSettledResult<unknown>[]> = Promise.resolve([]);
    await sql.begin(async (t) => {
      // Here each stops, holding what it took so far.
      await t`lock table bulwark_private.mfa_attempts, bulwark.mfa_usage_log in share mode`;
      const first = operation(sql, s);
      await waiting(sql, 1);
      both = Promise.allSettled([first, deletion(sql, s)]);
      await waiting(sql, 2);
    });
    const results = await both;
    found.push(...problems(name, results));
    if (results[0]?.status !== "fulfilled") found.push(`${name} did nothing`);
  }
  assert.deepEqual(found, []);
  await sql.end();
});

Deno.test("MFA-R03: whatever two of them, and the deletion, at once: no deadlock", async () => {
  const sql = connect(8);
  const found: string[] = [];
  const names = Object.keys(operations);
  const pairs = names.flatMap((left, place) => names.slice(place).map((right) => [left, right]));
  for (const pair of pairs) {
    const s = await scene(sql);
    const runs = pair.map((name) => operations[name]?.(sql, s));
    found.push(
      ...problems(pair.join(" and "), await Promise.allSettled([...runs, deletion(sql, s)])),
    );
  }
  assert.deepEqual(found, []);
  await sql.end();
});
