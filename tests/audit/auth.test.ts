/**
 * Second factors in the audit log. Lite has no factors, so this test creates the table as Supabase
 * Auth does, and writes it as its role.
 */
import assert from "node:assert/strict";
import postgres, { type Sql } from "postgres";
import { createOrganization, signUp, superuserUrl } from "../support.ts";

const ada = await signUp("ada");
const acme = await createOrganization(ada);
const sql = postgres(superuserUrl, { max: 1, onnotice: () => {} });
await sql.unsafe(`
  do $$ begin
    if to_regtype('auth.factor_type') is null then
      create type auth.factor_type as enum ('totp', 'webauthn', 'phone');
      create type auth.factor_status as enum ('unverified', 'verified');
    end if;
  end $$;
  create table if not exists auth.mfa_factors (
    id uuid not null primary key,
    user_id uuid not null references auth.users (id) on delete cascade,
    friendly_name text,
    factor_type auth.factor_type not null,
    status auth.factor_status not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    secret text,
    phone text,
    last_challenged_at timestamptz unique,
    web_authn_credential jsonb,
    web_authn_aaguid uuid,
    last_webauthn_challenge_data jsonb
  );
  alter table auth.mfa_factors owner to supabase_auth_admin;
  grant all on auth.mfa_factors to postgres;
  set role postgres;
  select bulwark_private.watch_auth();
  set role supabase_auth_admin;
`);

/** Events of factors since the last call: event, organization, kind. */
let seen = "00000000-0000-0000-0000-000000000000";
async function events(): Promise<[string, string | null, string][]> {
  const rows = await sql.begin(async (t) => {
    await t`set local role postgres`;
    return await t<{ id: string; event: string; organization: string | null; action: string }[]>`
      select id, event_type as event, organization_id as organization, action
      from bulwark.audit_logs
      where resource_type = 'auth.mfa_factors' and id > ${seen}
      order by id
    `;
  });
  seen = rows.at(-1)?.id ?? seen;
  return rows.map(({ event, organization, action }) => [event, organization, action]);
}

async function enrol(on: Sql, user: string, status = "unverified"): Promise<string> {
  const id = crypto.randomUUID();
  await on`
    insert into auth.mfa_factors (
      id, user_id, friendly_name, factor_type, status, created_at, updated_at, secret
    )
    values (${id}, ${user}, ${id}, 'totp', ${status}, now(), now(), 'JBSWY3DPEHPK3PXP')
  `;
  return id;
}

Deno.test("AUD-U01: a factor is an event when it is verified, not when it is tried", async () => {
  const id = await enrol(sql, ada.id);
  assert.deepEqual(await events(), []);
  await sql`update auth.mfa_factors set last_challenged_at = now() where id = ${id}`;
  assert.deepEqual(await events(), []);
  await sql`update auth.mfa_factors set status = 'verified', updated_at = now() where id = ${id}`;
  assert.deepEqual(await events(), [
    ["auth.mfa_enabled", null, "totp"],
    ["auth.mfa_enabled", acme, "totp"],
  ]);
  await sql`update auth.mfa_factors set updated_at = now() where id = ${id}`;
  assert.deepEqual(await events(), []);
});

Deno.test("AUD-U02: a factor taken away is an event, one that was never verified is none", async () => {
  const tried = await enrol(sql, ada.id);
  await sql`delete from auth.mfa_factors where id = ${tried}`;
  assert.deepEqual(await events(), []);
  await sql`delete from auth.mfa_factors where user_id = ${ada.id}`;
  assert.deepEqual(await events(), [
    ["auth.mfa_disabled", null, "totp"],
    ["auth.mfa_disabled", acme, "totp"],
  ]);
});

Deno.test("AUD-U03: no entry holds a factor's secret", async () => {
  await enrol(sql, ada.id, "verified");
  assert.equal((await events()).length, 2);
  const [row] = await sql.begin(async (t) => {
    await t`set local role postgres`;
    return await t`
      select count(*)::int as n from bulwark.audit_logs e
      where concat(e.before, e.after, e.details, e.resource_id) ~ 'JBSWY3DPEHPK3PXP'
    `;
  });
  assert.equal(row?.n, 0);
});

Deno.test("AUD-U04: an account that goes takes its factors along, and the log says so", async () => {
  const gone = await signUp("gone");
  await enrol(sql, gone.id, "verified");
  await events();
  await sql`delete from auth.users where id = ${gone.id}`;
  assert.deepEqual(await events(), [["auth.mfa_disabled", null, "totp"]]);
});

Deno.test("AUD-U05: a factor whose event cannot be recorded works all the same, and the gap is counted", async () => {
  const admin = postgres(superuserUrl, { max: 1, onnotice: () => {} });
  const gaps = async () =>
    (await admin`select source, reason from bulwark_private.audit_gaps`).length;
  const before = await gaps();
  await admin`alter table bulwark.audit_logs rename to audit_logs_away`;
  try {
    const id = await enrol(sql, ada.id, "verified");
    const [row] = await sql`select status from auth.mfa_factors where id = ${id}`;
    assert.equal(row?.status, "verified");
  } finally {
    await admin`alter table bulwark.audit_logs_away rename to audit_logs`;
  }
  assert.equal(await gaps(), before + 1);
  await admin.end();
});

Deno.test("AUD-U06: the triggers there are watched too", async () => {
  const admin = postgres(superuserUrl, { max: 1, onnotice: () => {} });
  await admin`select bulwark.seal_audit_log()`;
  // In one transaction: the stack seals each second too, and would see the trigger off and on
  // again.
  await admin.begin(async (t) => {
    await t`alter table auth.mfa_factors disable trigger bulwark_audit_delete`;
    await t`alter table auth.mfa_factors enable trigger bulwark_audit_delete`;
  });
  await admin`select bulwark.seal_audit_log()`;
  const [row] = await admin`
    select count(*)::int as n from bulwark.audit_logs
    where event_type = 'security.suspicious_activity' and resource_type = 'auth.mfa_factors'
  `;
  assert.equal(row?.n, 1);
  await admin.end();
});

globalThis.addEventListener("unload", () => void sql.end({ timeout: 1 }));
