/** The pgTAP file of adopters fails when a protection is gone, and changes nothing. */
import assert from "node:assert/strict";
import { installedTest } from "../../scripts/building/installed.ts";
import { runPgtap } from "../../scripts/testing/pgtap.ts";
import { withPatient } from "./support.ts";

interface Breach {
  /** Without superuser rights, unless only the platform could do it. */
  as?: "admin";
  change: string;
  undo: string;
  fails: string[];
}

const breaches: Breach[] = [
  {
    change: "alter table bulwark.user_roles disable row level security",
    undo: "alter table bulwark.user_roles enable row level security",
    fails: ["INST-03"],
  },
  {
    change: "alter view bulwark_private.active_grants reset (security_invoker)",
    undo: "alter view bulwark_private.active_grants set (security_invoker = true)",
    fails: ["INST-04"],
  },
  {
    change: "alter function bulwark.has_permission(text, uuid) reset search_path",
    undo: "alter function bulwark.has_permission(text, uuid) set search_path = pg_catalog, pg_temp",
    fails: ["INST-05"],
  },
  {
    change: "grant insert on bulwark.user_roles to authenticated",
    undo: "revoke insert on bulwark.user_roles from authenticated",
    fails: ["INST-07", "INST-09"],
  },
  {
    change: "grant update (value) on bulwark.settings to service_role",
    undo: "revoke update (value) on bulwark.settings from service_role",
    fails: ["INST-07", "INST-09"],
  },
  {
    change: "grant select on bulwark_private.invitation_tokens to public",
    undo: "revoke select on bulwark_private.invitation_tokens from public",
    fails: ["INST-07", "INST-10"],
  },
  {
    change: "grant execute on function bulwark.create_organization(text, text, uuid) to anon",
    undo: "revoke execute on function bulwark.create_organization(text, text, uuid) from anon",
    fails: ["INST-07"],
  },
  {
    change: "revoke execute on function bulwark.organizations_with(text) from authenticated",
    undo: "grant execute on function bulwark.organizations_with(text) to authenticated",
    fails: ["INST-08"],
  },
  {
    change: "grant create on schema bulwark_private to service_role",
    undo: "revoke create on schema bulwark_private from service_role",
    fails: ["INST-07", "INST-12"],
  },
  {
    as: "admin",
    change: "alter role authenticator set pgrst.db_schemas = 'public, bulwark_private'",
    undo: "alter role authenticator reset pgrst.db_schemas",
    fails: ["INST-14"],
  },
  {
    change: `create policy "All" on bulwark.audit_logs for select to authenticated using (true)`,
    undo: `drop policy "All" on bulwark.audit_logs`,
    fails: ["INST-15"],
  },
  {
    change: "alter table bulwark.user_roles disable trigger user_roles_validate",
    undo: "alter table bulwark.user_roles enable trigger user_roles_validate",
    fails: ["INST-17", "INST-19"],
  },
  {
    change: "alter table bulwark.user_roles enable trigger bulwark_audit_insert",
    undo: "alter table bulwark.user_roles enable always trigger bulwark_audit_insert",
    fails: ["INST-18"],
  },
  {
    as: "admin",
    change: "alter table auth.users disable trigger bulwark_rights_lock",
    undo: "alter table auth.users enable trigger bulwark_rights_lock",
    fails: ["INST-17", "INST-19"],
  },
  {
    change: "alter table public.documents disable trigger bulwark_audit_update",
    undo: "alter table public.documents enable always trigger bulwark_audit_update",
    fails: ["INST-19"],
  },
  {
    as: "admin",
    change: "grant authenticated to api_key",
    undo: "revoke authenticated from api_key",
    fails: ["INST-20", "INST-24"],
  },
  {
    change: `update bulwark.settings set value = '"public.gone"'
      where name = 'rbac.next_access_token_hook'`,
    undo: "update bulwark.settings set value = 'null' where name = 'rbac.next_access_token_hook'",
    fails: ["INST-22"],
  },
  {
    change: `select bulwark.require_mfa('public.documents');
      drop policy bulwark_mfa_select on public.documents`,
    undo: "select bulwark_private.release_mfa('public.documents')",
    fails: ["INST-23"],
  },
];

Deno.test("INST-25: each protection that is gone fails the claim about it, and no other", async (t) => {
  await withPatient(17, false, async ({ postgres, admin, url }) => {
    const failing = async () => {
      const { failures } = await runPgtap(installedTest, url("postgres"));
      return failures.map((failure) => /^INST-\d+/.exec(failure)?.[0] ?? failure);
    };
    assert.deepEqual(await failing(), []);
    for (const { as, change, undo, fails } of breaches) {
      await t.step(change.split("\n")[0] ?? "", async () => {
        const sql = as === "admin" ? admin : postgres;
        await sql.unsafe(change);
        const found = await failing();
        await sql.unsafe(undo);
        assert.deepEqual(found, fails);
      });
    }
    const [left] = await postgres`
      select count(*)::integer as temporary from pg_class c
      join pg_namespace n on n.oid = c.relnamespace where n.nspname ~ '^pg_temp' and c.relkind = 'r'
    `;
    assert.equal(left?.temporary, 0);
    assert.deepEqual(await failing(), []);
  });
});
