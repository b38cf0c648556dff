import assert from "node:assert/strict";
import { join } from "node:path";
import { embeddedPostgres } from "./binaries.ts";
import { connect } from "./connection.ts";
import { Failure } from "./failure.ts";
import { failingLine, migrate } from "./migrate.ts";
import { startScratchCluster } from "./scratch_cluster.ts";

Deno.test("a failing migration is reported with file, line and SQL error, and undone", async () => {
  const { cluster, password, stop } = await startScratchCluster("migrate", embeddedPostgres());
  const project = await Deno.makeTempDir();
  try {
    const migrations = join(project, "supabase", "migrations");
    await Deno.mkdir(migrations, { recursive: true });
    await Deno.writeTextFile(join(project, "supabase", "config.toml"), 'project_id = "test"\n');
    await Deno.writeTextFile(
      join(migrations, "20260101000000_good.sql"),
      "create table public.good (id int);\n",
    );
    const bad = join(migrations, "20260102000000_bad.sql");
    const source = "create table public.half (id int);\n\ncreate view public.bad as\n  select *\n";
    await Deno.writeTextFile(bad, `${source}  from public.nowhere;\n`);

    const attempt = migrate({ cluster, password, project });
    await assert.rejects(attempt, (thrown) => {
      assert.ok(thrown instanceof Failure);
      assert.match(
        thrown.message,
        /20260102000000_bad\.sql:5: relation "public\.nowhere" does not/,
      );
      assert.match(thrown.message, /42P01/);
      assert.equal(thrown.message.split("\n").length, 1);
      return true;
    });
    const sql = connect(cluster.url("postgres", password));
    const [kept] = await sql`
      select to_regclass('public.good') is not null as good, to_regclass('public.half') as half
    `;
    await sql.end();
    assert.deepEqual({ ...kept }, { good: true, half: null });

    await Deno.writeTextFile(bad, `${source}  from public.good;\n`);
    await migrate({ cluster, password, project });
  } finally {
    await stop();
    await Deno.remove(project, { recursive: true });
  }
});

Deno.test("failingLine() finds the line above the caret", () => {
  const source = "-- header\nselect 1;\n\ncreate table c (\n  id int,\n  foo nothing\n);\n";
  const output = "ERROR: type (SQLSTATE 42704)\nAt statement: 1\n" +
    "create table c (\n  id int,\n  foo nothing\n      ^\nTry rerunning";
  assert.equal(failingLine(source, output), 6);
});

Deno.test("failingLine() finds the first line of a statement without a caret, past its comments", () => {
  const source = "select 1;\n-- why\ndo $$ begin\n  raise exception 'no';\nend $$;\n";
  const output = "ERROR: no (SQLSTATE P0001)\nAt statement: 1\n" +
    "-- why\ndo $$ begin\n  raise exception 'no';\nend $$\nTry rerunning";
  assert.equal(failingLine(source, output), 3);
});

Deno.test("failingLine() does not guess", () => {
  assert.equal(failingLine("select 1;", "ERROR: connection lost"), null);
});
