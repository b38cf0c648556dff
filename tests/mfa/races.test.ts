/** Things of which an account has a limited number, asked for twenty times at once. */
import assert from "node:assert/strict";
import { account, as } from "../races.ts";
import { connect } from "../support.ts";

Deno.test("MFA-R01: devices, tickets and attempts stay bounded however many ask at once", async () => {
  const sql = connect(25);
  const user = await account(sql);
  const call = (run: (t: typeof sql) => Promise<unknown>, rounds: number) =>
    Promise.allSettled(
      Array.from({ length: 25 * rounds }, () => as(sql, user, run)),
    );
  const count = async (table: string) => {
    const [row] = await sql`
      select count(*)::int as n from ${sql(table)} where user_id = ${user}
    `;
    return row?.n;
  };
  // Tickets: nobody has verified anything yet, and a recent sign-in is enough to ask.
  await call((t) => t`select bulwark.begin_mfa_enrolment()`, 2);
  assert.equal(await count("bulwark_private.mfa_attempts"), 1);
  // Attempts without a factor are admitted to nobody and lock nobody.
  await call((t) => t`select bulwark.begin_mfa_attempt('verify')`, 2);
  assert.equal(await count("bulwark_private.mfa_attempts"), 20);
  await sql`
    insert into bulwark.mfa_secrets
      (id, user_id, name, secret, begun_in, begun_as_first, activated_at)
    values (gen_random_uuid(), ${user}, 'phone',
      ${`bw1.a256gcm.${"A".repeat(22)}.${"A".repeat(120)}`}, ${user}, true, now())
  `;
  await sql`
    insert into bulwark_private.mfa_sessions (session_id, user_id, verified_at, method)
    values (${user}, ${user}, now(), 'totp')
  `;
  await call((t) => t`select bulwark.trust_device('phone')`, 2);
  assert.equal(await count("bulwark_private.mfa_trusted_devices"), 20);
  await sql.end();
});
