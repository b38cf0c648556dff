/** A superuser changes Postgres itself, and the sealer notices. */
import assert from "node:assert/strict";
import postgres from "postgres";

const changes: Record<string, string> = {
  "a function of Postgres's own that is replaced":
    `create or replace function pg_catalog.sha256(bytea) returns bytea language sql immutable strict
     as 'select $1'`,
  "one that takes calls from another":
    `create function pg_catalog.sha256(uuid) returns bytea language sql as 'select null::bytea'`,
  "an operator that takes the place of another":
    `create function public.never(uuid, text) returns boolean language sql as 'select false';
     create operator pg_catalog.= (leftarg = uuid, rightarg = text, function = public.never)`,
  "an operator that is estimated otherwise":
    "alter operator pg_catalog.= (uuid, uuid) set (restrict = none)",
  "a type": "create type pg_catalog.audit_severity as enum ('none')",
  "a cast": "create cast (bytea as uuid) with inout",
  "a cast that is gone": "delete from pg_catalog.pg_cast where castsource = 'json'::regtype",
  "an operator family":
    "delete from pg_catalog.pg_amop where amopopr = '<(macaddr,macaddr)'::regoperator",
  "a language": "delete from pg_catalog.pg_language where lanname = 'c'",
};

for (const [name, change] of Object.entries(changes)) {
  Deno.test(`AUO-P01: ${name} is noticed`, async () => {
    const url = Deno.env.get("BULWARK_TEST_ADMIN_DB_URL");
    if (!url) throw new Error("BULWARK_TEST_ADMIN_DB_URL is not set: run this through npm test");
    const admin = postgres(url, { max: 1, onnotice: () => {} });
    await admin.begin(async (t) => {
      await t`select bulwark_private.inspect_audit_fingerprints()`;
      await t`set local allow_system_table_mods = on`;
      await t.unsafe(change);
      await t`select bulwark_private.inspect_audit_fingerprints()`;
      const [row] = await t`
        select count(*)::int as n from bulwark.audit_logs
        where action = 'watched_object_changed' and severity = 'critical'
          and resource_type = 'bulwark.audit_logs' and xid = pg_current_xact_id()
      `;
      assert.equal(row?.n, 1);
      throw new Error("rolled back");
    }).catch((thrown) => assert.match(String(thrown), /rolled back/));
    await admin.end();
  });
}
