/** Encrypted fields of tables whose organizations are named by the host's own keys. */
import assert from "node:assert/strict";
import { connect, signUp } from "../support.ts";
import { call, done, work } from "./support.ts";

/** Bigger than a JavaScript number can tell apart. */
const keys = { bigint: ["9007199254740993", "9007199254740992"], text: ["team_a", "team_b"] };

for (const [type, [ours, theirs]] of Object.entries(keys)) {
  Deno.test(`ENC-F20: fields in rows with a ${type} key are under the keys of their organization`, async () => {
    const sql = connect(1);
    const [ada, eve] = [await signUp("ada"), await signUp("eve")];
    const table = `team_notes_${type}`;
    try {
      await sql.unsafe(`
        create table public.${table} (
          id integer primary key, team_id ${type}, note text
        );
        alter table public.${table} enable row level security;
        grant select, insert, update on public.${table} to authenticated;
        create policy "Everybody" on public.${table} for all to authenticated
          using (true) with check (true);
        select bulwark.declare_encrypted_column('public.${table}', 'note', 'team_id', true);
      `);
      const organizations: string[] = [];
      for (const [key, person] of [[ours, ada], [theirs, eve]] as const) {
        const [row] = await sql`
          insert into bulwark.organizations (id, name, slug)
          values (
            bulwark.organization_id(${key!}), ${key!}, ${"key-" + key!.replace("_", "-")}
          )
          returning id
        `;
        organizations.push(row!.id);
        await sql`select bulwark.grant_role(${person.id}, 'admin', ${row!.id})`;
      }
      const [organization_id, other] = organizations;
      const encrypt = async (
        token: string,
        organization_id: string,
        fields: [string, string][],
      ) => {
        const rows = fields.map(([primary_key, note]) => ({ primary_key, fields: { note } }));
        return (await done(token, "encrypt", { table, organization_id, rows })).rows;
      };
      const insert = async (key: string | null, row: { primary_key: string; fields: object }) => {
        await sql`
          insert into ${sql("public." + table)}
          ${sql({ id: row.primary_key, team_id: key, ...row.fields })}
        `;
      };
      const [first, second] = await encrypt(ada.token, organization_id!, [["1", "A"], ["2", "B"]]);
      const [third] = await encrypt(eve.token, other!, [["3", "A"]]);
      await insert(ours!, first);
      await insert(ours!, second);
      await insert(theirs!, third);

      // A ciphertext of Eve's in a row of Ada's; and a row of no organization.
      await insert(ours!, { ...third, primary_key: "4" });
      await insert(null, { ...first, primary_key: "5" });
      const decrypt = (primary_keys: string[]) => ({ table, columns: ["note"], primary_keys });
      const { rows } = await done(ada.token, "decrypt", decrypt(["1", "2", "4"]));
      assert.deepEqual(
        // deno-lint-ignore no-explicit-any -- the test asserts what it reads
        rows.map((row: any) => [row.primary_key, row.fields?.note ?? row.error.code]).sort(),
        [["1", "A"], ["2", "B"], ["4", "ENCRYPTION_FAILED"]],
      );
      const theirRows = await done(eve.token, "decrypt", decrypt(["3"]));
      assert.deepEqual(theirRows.rows, [{ primary_key: "3", fields: { note: "A" } }]);
      for (const [person, key] of [[ada, "3"], [eve, "1"], [ada, "5"]] as const) {
        const { status, body } = await call(person.token, "decrypt", decrypt([key]));
        assert.deepEqual(
          [status, body.code],
          [403, "RBAC_PERMISSION_DENIED"],
          JSON.stringify(body),
        );
      }
      const denied = await call(eve.token, "encrypt", {
        ...{ table, organization_id },
        rows: [{ primary_key: "9", fields: { note: "x" } }],
      });
      assert.equal(denied.status, 403);

      const find = { table, organization_id, column: "note", value: "A" };
      const asAda = await done(ada.token, "find", find);
      assert.deepEqual(asAda, { primary_keys: ["1"], next: null });
      // Eve's own row with the index that Ada's organization computes.
      await sql`
        update ${sql("public." + table)} set note_index = (
          select f.note_index from ${sql("public." + table)} f where f.id = 1
        ) where id = 3
      `;
      assert.deepEqual(await done(ada.token, "find", find), asAda, "a forged index adds no row");
      assert.equal((await call(eve.token, "find", find)).status, 403);

      const prefix = async () =>
        (await sql`select left(note, 34) as key from ${sql("public." + table)} where id = 1`)[0]!
          .key;
      const before = await prefix();
      await done(ada.token, "rotate", { organization_id });
      await work({ milliseconds: 5000 });
      assert.notEqual(await prefix(), before, "re-encrypted under the new key");
      const again = await done(ada.token, "decrypt", decrypt(["1", "2"]));
      assert.deepEqual(
        again.rows.map((row: { fields: object }) => row.fields),
        [{ note: "A" }, { note: "B" }],
      );
    } finally {
      await sql.unsafe(`drop table if exists public.${table}`);
      await sql`delete from bulwark_private.encrypted_columns where relation::oid not in (select oid from pg_class)`;
      await sql.end();
    }
  });
}
