import assert from "node:assert/strict";
import { derive } from "./derivation.ts";
import { requireReleasable } from "./releasable.ts";
import { releaseMigrations } from "./releases.ts";
import { compareVersions, isVersion } from "./upgrade_text.ts";

const functionOf = (body: string, head = "returns integer\n  language sql\n  stable") =>
  `create function bulwark.f(a integer default 1)\n  ${head}\nas $$ select ${body}; $$;\n`;

Deno.test("derive() finds no change where only comments and blanks changed", () => {
  const sql = `create table bulwark.t (a int);\n${
    functionOf("1")
  }grant select on bulwark.t to anon;\n`;
  assert.deepEqual(derive(sql, `-- Said better.\n${sql.replace("(a int)", "(a  int)")}`), {
    statements: [],
    functions: [],
    created: [],
    byHand: [],
  });
});

Deno.test("derive() keeps the blanks of bodies and of comments on objects", () => {
  const comment = (blank: string) => `comment on table bulwark.t is 'Two${blank}words.';\n`;
  assert.equal(derive(comment(" "), comment("\n   ")).statements.length, 1);
  assert.equal(derive(functionOf("1"), functionOf("  1")).statements.length, 1);
});

Deno.test("derive() replaces a function whose body changed, and drops it for another result", () => {
  const [replaced] = derive(functionOf("1"), functionOf("2")).statements;
  assert.match(replaced!, /^create or replace function bulwark\.f\(a integer default 1\)/);
  const { statements } = derive(functionOf("1"), functionOf("2", "returns text\n  language sql"));
  assert.equal(statements[0], "drop function bulwark.f(a integer);");
  assert.match(statements[1]!, /^create or replace function/);
  const without = functionOf("1").replace(" default 1", "");
  assert.equal(
    derive(functionOf("1"), without).statements[0],
    "drop function bulwark.f(a integer);",
  );
});

Deno.test("derive() changes the rights that changed, and gives all of them for a new function", () => {
  const rights = "revoke all on function bulwark.f(a integer), bulwark.g() from public, anon;\n";
  const grant = "grant execute on function bulwark.f(integer) to authenticated, service_role;\n";
  const f = functionOf("1");
  assert.deepEqual(derive(f + rights + grant, f + rights).statements, [
    "revoke execute on function bulwark.f(integer) from authenticated;",
    "revoke execute on function bulwark.f(integer) from service_role;",
  ]);
  assert.deepEqual(derive("", f + rights + grant).statements.slice(1), [
    "revoke all on function bulwark.f(a integer) from public;",
    "revoke all on function bulwark.f(a integer) from anon;",
    "revoke all on function bulwark.g() from public;",
    "revoke all on function bulwark.g() from anon;",
    "grant execute on function bulwark.f(integer) to authenticated;",
    "grant execute on function bulwark.f(integer) to service_role;",
  ]);
  assert.deepEqual(
    derive(f + rights, f + rights + "grant select on bulwark.t to anon;\n").statements,
    [
      "grant select on table bulwark.t to anon;",
    ],
  );
  assert.deepEqual(derive(f + rights + grant, "").statements, [
    "drop function bulwark.f(a integer);",
  ]);
});

Deno.test("derive() closes a function whose arguments changed, as a new one", () => {
  const one = "create function bulwark.h() returns text language sql as $$ select '' $$;\n";
  const other = one.replace("h()", "h(a text)");
  const rights = (args: string) =>
    `revoke all on function bulwark.h(${args}) from public;\ngrant execute on function bulwark.h(${args}) to anon;\n`;
  assert.deepEqual(derive(one + rights(""), other + rights("a text")).statements, [
    "drop function bulwark.h();",
    other.trim(),
    "revoke all on function bulwark.h(a text) from public;",
    "grant execute on function bulwark.h(a text) to anon;",
  ]);
});

Deno.test("releaseMigrations() gives the rights of a function that is made anew to all again", () => {
  const grant = "grant execute on function bulwark.f(integer) to api_key;\n";
  const before = new Map([["01_rbac", functionOf("1")], ["07_api_keys", grant]]);
  const other = functionOf("1", "returns text\n  language sql");
  const after = new Map([["01_rbac", other], ["07_api_keys", grant]]);
  assert.match(releaseMigrations(before, after, new Map()).get("07_api_keys")!, /to api_key;/);
});

Deno.test("derive() makes policies, triggers and indexes anew, and keeps a trigger always enabled", () => {
  const before = `create policy "Members read" on bulwark.t for select using (true);
create trigger t_touch before update on bulwark.t for each row execute function bulwark.touch();
alter table bulwark.t enable always trigger t_touch;
create index t_idx on bulwark.t (a);
comment on table bulwark.t is 'One.';
`;
  const after = before.replace("(true)", "(false)").replace("before update", "before insert")
    .replace("(a)", "(b)").replace("One", "Two");
  assert.deepEqual(derive(before, after).statements, [
    'drop policy "Members read" on bulwark.t;',
    'create policy "Members read" on bulwark.t for select using (false);',
    "drop trigger t_touch on bulwark.t;",
    "create trigger t_touch before insert on bulwark.t for each row execute function bulwark.touch();",
    "alter table bulwark.t enable always trigger t_touch;",
    "drop index bulwark.t_idx;",
    "create index t_idx on bulwark.t (b);",
    "comment on table bulwark.t is 'Two.';",
  ]);
});

Deno.test("derive() leaves changed tables, types and rows to people", () => {
  const { statements, byHand } = derive(
    "create table bulwark.t (a int);\ninsert into bulwark.settings values ('a', '1');\n",
    "create table bulwark.t (a int, b int);\ninsert into bulwark.settings values ('a', '2');\n",
  );
  assert.deepEqual(statements, []);
  assert.deepEqual(byHand, [
    "gone: insert into bulwark.settings values ('a', '1');",
    "changed: create table bulwark.t (a int, b int);",
    "new: insert into bulwark.settings values ('a', '2');",
  ]);
});

Deno.test("derive() audits a table again when its options changed, and no longer when it is gone", () => {
  const audit = (options: string) => `select bulwark.enable_audit('bulwark.t'${options});\n`;
  assert.deepEqual(derive(audit(""), audit(", bulk => true")).statements, [
    "select bulwark.enable_audit('bulwark.t', bulk => true);",
  ]);
  assert.deepEqual(derive(audit(""), "").statements, [
    "select bulwark.disable_audit('bulwark.t');",
  ]);
});

Deno.test("releaseMigrations() refuses a change of a table that nobody wrote for databases that are there", () => {
  const before = new Map([["01_rbac", "create table bulwark.t (a int);\n"]]);
  const after = new Map([["01_rbac", "create table bulwark.t (a int, b int);\n"]]);
  assert.throws(
    () => releaseMigrations(before, after, new Map()),
    /01_rbac: changed: create table/,
  );
  const byHand = { before: "alter table bulwark.t add column b int;\n", after: undefined };
  const parts = releaseMigrations(before, after, new Map([["01_rbac", byHand]]));
  assert.match(parts.get("01_rbac")!, /alter table bulwark\.t add column b int;/);
  assert.deepEqual(releaseMigrations(after, after, new Map()), new Map());
});

Deno.test("releaseMigrations() makes a replacement again after the function that it replaces", () => {
  const replaced = functionOf("3").replace("create function", "create or replace function");
  const before = new Map([["01_rbac", functionOf("1")], ["05_mfa", replaced]]);
  const after = new Map([["01_rbac", functionOf("2")], ["05_mfa", replaced]]);
  const parts = releaseMigrations(before, after, new Map());
  assert.deepEqual([...parts.keys()], ["01_rbac", "05_mfa"]);
  assert.match(parts.get("05_mfa")!, /create or replace function[^]*select 3/);
});

Deno.test("versions are ordered as Semantic Versioning orders them", () => {
  const ordered = [
    ...["0.1.0-alpha.1", "0.1.0-alpha.2", "0.1.0-alpha.10", "0.1.0-beta.1", "0.1.0-rc"],
    ...["0.1.0", "0.2.0", "0.10.0", "1.0.0"],
  ];
  assert.deepEqual(ordered.toReversed().sort(compareVersions), ordered);
  assert.ok(ordered.every(isVersion));
  for (const text of ["1", "1.0", "v1.0.0", "01.0.0", "1.0.0-", "1.0.0-a..b", "next", ""]) {
    assert.ok(!isVersion(text), text);
  }
});

Deno.test("a release needs a clean repository, a newer version and its changelog", () => {
  const changelog = "# Changelog\n\n## [0.1.0-alpha.1] (pre-release)\n## [0.1.0]\n## [0.0.1]\n";
  const state = { frozen: ["0.1.0-alpha.1"], changelog, isClean: true };
  requireReleasable("0.1.0-alpha.1", state);
  requireReleasable("0.1.0", state);
  for (
    const [version, change, reason] of [
      ["0.1.0", { isClean: false }, /uncommitted/],
      ["0.0.1", {}, /newer/],
      ["0.2.0", {}, /no heading/],
      ["0.1.0", { frozen: ["0.1.0"] }, /never changes/],
      ["0.1.0-alpha.1", { frozen: ["0.1.0-alpha.1", "0.1.0"] }, /newer/],
      ["alpha", {}, /npm run release/],
    ] as const
  ) {
    assert.throws(() => requireReleasable(version, { ...state, ...change }), reason, version);
  }
});
