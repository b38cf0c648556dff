/** Installations of a version have the same schema in every database. */
import assert from "node:assert/strict";
import { builtVersion } from "../../scripts/building/migrations.ts";
import type { Sql } from "../../scripts/stack/connection.ts";
import { installations, schemaOf } from "./schema_text.ts";
import { inDatabase, install, startWithPresent, withDatabase } from "./versions.ts";

/** A host's guarded tables, as `fill` makes them. */
const guards = `
  create table public.guarded (id integer primary key, organization_id uuid, note text);
  alter table public.guarded enable row level security;
  grant select on public.guarded to authenticated;
  select bulwark.enable_audit('public.guarded', 'organization_id', redact => '{note}');
  select bulwark.declare_encrypted_column('public.guarded', 'note', 'organization_id', true);
  select bulwark.require_mfa('public.guarded');
  create table public."Open" (id integer primary key, organization_id uuid);
  alter table public."Open" enable row level security;
  grant select on public."Open" to authenticated;
  select bulwark.admit_api_keys('public."Open"', read_permission => 'analytics:read');
  select bulwark.enable_audit('public."Open"', 'organization_id', bulk => true);
`;

for (const [number, installation] of Object.entries(installations)) {
  const ignore = installation === null;

  Deno.test({
    name: `UPG-01: on ${number}, two installations have the same schema, guards of tables included`,
    ignore,
    async fn() {
      assert.ok(installation);
      const present = await builtVersion();
      const target = await startWithPresent("installed", installation);
      try {
        const guarded = async (sql: Sql, name: string) => {
          await sql.unsafe(guards);
          await sql`select bulwark.seal_audit_log()`;
          return await schemaOf(target, installation, [sql, name]);
        };
        const one = await inDatabase(target, "present", guarded);
        const other = await withDatabase(target, "other", async (sql, name) => {
          // Numbers of objects and transactions differ.
          await sql`create table public.earlier (id integer)`;
          await sql`drop table public.earlier`;
          await install(sql, present);
          return await guarded(sql, name);
        });
        assert.deepEqual(other, one);
        assert.ok(one.length > 1000);
      } finally {
        await target.stop();
      }
    },
  });
}
