/** Backups in pg_dump's own formats: whole ones, by several workers, and of the data alone. */
import assert from "node:assert/strict";
import { type ScratchCluster, startScratchCluster } from "../../scripts/stack/scratch_cluster.ts";
import { startInstalledCluster } from "../../scripts/testing/prepared_clusters.ts";
import { push } from "../../scripts/testing/push.ts";
import {
  as,
  contents,
  dumpAsCli,
  fillProject,
  protections,
  restoreAsCli,
  reversed,
} from "./backups.ts";
import { burnTransactions, debian, intact, makeDatabase, run, verify } from "./support.ts";

/** A project with something in it, and what there is. */
async function startProject() {
  assert.ok(debian);
  const from = await startInstalledCluster("dumped", debian);
  const state = await as(from, "postgres", async (sql) => {
    await burnTransactions(sql);
    await fillProject(sql);
    return { before: await contents(sql), guarded: await protections(sql) };
  });
  return { from, ...state };
}

/** Writes, seals, and verifies that the log goes on in this timeline. */
async function goesOn(target: ScratchCluster, database: string, timeline: number): Promise<void> {
  await as(target, database, async (sql) => {
    await sql`select bulwark.seal_audit_log()`;
    await sql`insert into bulwark.permissions values (${"test:timeline_" + timeline}, 'x')`;
    assert.deepEqual(await verify(sql), intact);
    const [later] = await sql`
      select timeline from bulwark.audit_logs where resource_id = ${"test:timeline_" + timeline}
    `;
    assert.equal(later?.timeline, timeline);
    const [status] = await sql`select bulwark.audit_status() -> 'restore_problems' as problems`;
    assert.deepEqual(status?.problems, []);
  });
}

/** Dumps as a folder, which several workers can write and read. */
async function dumpFolder(source: ScratchCluster, database: string): Promise<string> {
  const folder = `${await Deno.makeTempDir()}/dump`;
  await run(source, database, {
    name: "pg_dump",
    args: ["--format=directory", "--jobs=4", `--file=${folder}`],
  });
  return folder;
}

Deno.test({
  name: "AUD-P15: pg_restore with four workers, and of a restored project again, keeps every entry",
  ignore: debian === null,
  async fn() {
    assert.ok(debian);
    const { from, before } = await startProject();
    const [second, third] = await Promise.all([
      startScratchCluster("second", debian),
      startScratchCluster("third", debian),
    ]);
    const folders: string[] = [];
    try {
      let source = from;
      let database = "postgres";
      let expected = before;
      const oids = new Set<number>();
      for (const [target, timeline] of [[second, 2], [third, 3]] as const) {
        const folder = await dumpFolder(source, database);
        folders.push(folder);
        await makeDatabase(target, "restored");
        await run(target, "restored", {
          name: "pg_restore",
          args: ["--exit-on-error", "--jobs=4", folder],
        });
        await as(target, "restored", async (sql) => {
          assert.deepEqual(await contents(sql), expected);
          const [table] = await sql`select 'bulwark.audit_logs'::regclass::oid::int as oid`;
          oids.add(table?.oid);
          await sql`insert into bulwark.permissions values (${"test:first_" + timeline}, 'x')`;
          const [first] = await sql`
            select timeline from bulwark.audit_logs where resource_id = ${"test:first_" + timeline}
          `;
          assert.equal(first?.timeline, timeline, "also before the first seal");
        });
        await goesOn(target, "restored", timeline);
        expected = await as(target, "restored", contents);
        [source, database] = [target, "restored"];
      }
      assert.equal(oids.size, 1, "the table's oid does not tell these two apart");
    } finally {
      await Promise.all(folders.map((folder) => Deno.remove(folder, { recursive: true })));
      await Promise.all([from, second, third].map((cluster) => cluster.stop()));
    }
  },
});

Deno.test({
  name: "AUD-P16: the data alone is loaded into a project that has the migrations",
  ignore: debian === null,
  async fn(test) {
    assert.ok(debian);
    const { from, before, guarded } = await startProject();
    const to = await startScratchCluster("restored", debian);
    const folder = await dumpFolder(from, "postgres");
    try {
      await push(to);
      await as(to, "postgres", async (sql) => {
        await sql`select bulwark.seal_audit_log()`;
      });
      for (const database of ["by_psql", "by_workers"]) {
        await run(to, "template1", {
          name: "psql",
          args: [
            "--quiet",
            `--command=create database ${database} template postgres owner postgres`,
          ],
        });
      }
      const emptied = "select bulwark.empty_for_restore();\n";

      await test.step("one transaction, tables in any order", async () => {
        const { data } = await dumpAsCli(from);
        await restoreAsCli(to, [emptied, reversed(data)], "by_psql");
        await as(to, "by_psql", async (sql) => assert.deepEqual(await contents(sql), before));
        await goesOn(to, "by_psql", 2);
        await as(to, "by_psql", async (sql) => assert.deepEqual(await protections(sql), guarded));
      });

      await test.step("pg_restore with four workers, as the owner", async () => {
        await restoreAsCli(to, [emptied], "by_workers");
        await run(to, "by_workers", {
          name: "pg_restore",
          role: "postgres",
          args: [
            ...["--data-only", "--exit-on-error", "--jobs=4", "--exclude-schema=extensions"],
            ...["--exclude-schema=supabase_migrations", folder],
          ],
          env: { PGOPTIONS: "-c session_replication_role=replica" },
        });
        await as(to, "by_workers", async (sql) => assert.deepEqual(await contents(sql), before));
        await goesOn(to, "by_workers", 2);
      });

      await test.step("never into a project that is in use", async () => {
        await as(to, "by_psql", async (sql) => {
          await assert.rejects(
            async () => await sql`select bulwark.empty_for_restore()`,
            (thrown: { detail?: string }) => thrown.detail === "RESTORE_PROJECT_IN_USE",
          );
        });
      });
    } finally {
      await Deno.remove(folder, { recursive: true });
      await Promise.all([from.stop(), to.stop()]);
    }
  },
});
