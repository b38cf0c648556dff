/** A type that only a superuser can make, whose values convert neither to JSON nor to text. */
import assert from "node:assert/strict";
import postgres from "postgres";

Deno.test("AUT-P01: a type whose own code fails makes no write fail, and every change is an entry", async () => {
  const url = Deno.env.get("BULWARK_TEST_ADMIN_DB_URL");
  if (!url) throw new Error("BULWARK_TEST_ADMIN_DB_URL is not set: run this through npm test");
  const admin = postgres(url, { max: 1, onnotice: () => {} });
  await admin.begin(async (t) => {
    await t.unsafe(`
      create type public.closed;
      create function public.closed_in(cstring) returns public.closed
        language internal immutable strict as 'textin';
      create function public.closed_out(public.closed) returns cstring
        language internal immutable strict as 'shell_out';
      create type public.closed (input = public.closed_in, output = public.closed_out, like = text);
      create function public.closed_json(public.closed) returns json
        language plpgsql as 'begin raise exception ''no json of this''; end';
      create type public.pair as (a public.closed, b integer);
    `);
    for (const bulk of [false, true]) {
      const table = `public.closed_${bulk ? "bulk" : "rows"}`;
      await t.unsafe(`
        create table ${table} (id integer primary key, v public.closed, p public.pair,
          many public.closed[], hidden public.closed);
        select bulwark.enable_audit('${table}', ignore => '{hidden}', bulk => ${bulk});
        insert into ${table} values (1, 'one', row('two', 2), array['three']::public.closed[], 'x');
        update ${table} set v = 'two', hidden = 'y';
        update ${table} set hidden = 'z';
        delete from ${table};
      `);
      const rows = await t`
        select action, coalesce(after, before) #>> '{v,unconvertible}' as type,
          coalesce(after, before) #> '{v,text}' as text,
          (coalesce(after, before) #> '{v,stored_bytes}')::int > 0 as bytes,
          (select array_agg(k order by k) from jsonb_object_keys(coalesce(after, before)) as k) as keys
        from bulwark.audit_logs where resource_type = ${table} and resource_id = '1' order by id
      `;
      const all = ["id", "many", "p", "v"];
      const common = { type: "public.closed", text: null, bytes: true };
      assert.deepEqual(rows.map((row) => ({ ...row })), [
        { action: "insert", ...common, keys: all },
        { action: "update", ...common, keys: ["v"] },
        { action: "delete", ...common, keys: all },
      ]);
    }
    throw new Error("rolled back");
  }).catch((thrown) => assert.match(String(thrown), /rolled back/));
  await admin.end();
});
