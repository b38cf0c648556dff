/** Clusters that are dumped, upgraded and restored, with the real programs of PostgreSQL 15. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { debianPostgres, type PostgresInstallation } from "../../scripts/stack/binaries.ts";
import { type Cluster, startCluster } from "../../scripts/stack/cluster.ts";
import { connect, type Sql } from "../../scripts/stack/connection.ts";
import { makeDataFolder } from "../../scripts/stack/data_folder.ts";
import { asDatabaseUser } from "../../scripts/stack/os_user.ts";
import { preparePlatform } from "../../scripts/stack/platform.ts";
import { makeScratchFolder } from "../../scripts/stack/scratch.ts";
import type { ScratchCluster } from "../../scripts/stack/scratch_cluster.ts";

export { run } from "../../scripts/drill/programs.ts";

/** Debian's PostgreSQL 15: the embedded server has no pg_dump and no pg_upgrade. */
export const debian: PostgresInstallation | null = debianPostgres();

/** Burns transaction ids, so that those of a fresh cluster begin below. */
export async function burnTransactions(sql: Sql): Promise<void> {
  await sql.unsafe(
    `do $$ begin for i in 1 .. 3000 loop perform pg_current_xact_id(); commit; end loop; end $$`,
  );
}

/** Makes a database as a hosted project has it, in a cluster that has the platform's roles. */
export async function makeDatabase(target: ScratchCluster, name: string): Promise<void> {
  const admin = connect(target.cluster.url("supabase_admin", target.password));
  await admin`do $$ begin create role api_key nologin noinherit;
    exception when duplicate_object then null; end $$`;
  await admin.unsafe(`create database ${name} owner postgres template template0`);
  await admin.end();
}

/** A cluster in a folder of its own that can be stopped, upgraded and started again. */
export class UpgradedCluster {
  password = crypto.randomUUID();
  #cluster: Cluster | undefined;
  #folder: string;
  #remove: () => Promise<void>;

  private constructor(folder: string, remove: () => Promise<void>) {
    this.#folder = folder;
    this.#remove = remove;
  }

  /** Starts a cluster that looks like a hosted one. */
  static async start(purpose: string): Promise<UpgradedCluster> {
    const { path, remove } = await makeScratchFolder(purpose);
    const made = new UpgradedCluster(path, remove);
    await made.#start("old");
    await preparePlatform(made.cluster, made.password);
    return made;
  }

  get cluster(): Cluster {
    assert.ok(this.#cluster);
    return this.#cluster;
  }

  /** As `pg_upgrade` does: the same tables in a cluster with another identifier. */
  async upgrade(): Promise<void> {
    assert.ok(debian);
    await this.cluster.stop();
    const user = await asDatabaseUser(join(debian.bin, "postgres"));
    const folder = join(this.#folder, "new");
    await makeDataFolder({ installation: debian, folder, password: this.password }, user);
    const work = join(this.#folder, "work");
    await Deno.mkdir(work);
    if (user.id) await Deno.chown(work, user.id.uid, user.id.gid);
    const command = user.command("/bin/sh", [
      "-c",
      'cd "$1" && shift && exec "$@"',
      "sh",
      work,
      "env",
      `PGPASSWORD=${this.password}`,
      join(debian.bin, "pg_upgrade"),
      `--old-bindir=${debian.bin}`,
      `--new-bindir=${debian.bin}`,
      `--old-datadir=${join(this.#folder, "old")}`,
      `--new-datadir=${folder}`,
      `--socketdir=${work}`,
      "--username=supabase_admin",
      "--old-options=-c shared_preload_libraries=pg_stat_statements",
      "--new-options=-c shared_preload_libraries=pg_stat_statements",
    ]);
    const { success, stdout, stderr } = await command.output();
    const printed = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    assert.ok(success, printed);
    await this.#start("new");
  }

  async stop(): Promise<void> {
    await this.#cluster?.stop();
    await this.#remove();
  }

  async #start(name: string): Promise<void> {
    assert.ok(debian);
    this.#cluster = await startCluster({
      installation: debian,
      folder: join(this.#folder, name),
      log: join(this.#folder, `${name}.log`),
      password: this.password,
      settings: { fsync: "off", full_page_writes: "off" },
    });
  }
}

/** The verdict over the whole log, with how many entries there are. */
export async function verify(sql: Sql): Promise<Record<string, unknown>> {
  await sql`select bulwark.seal_audit_log()`;
  const [verdict] = await sql`
    select v.intact, v.complete, v.problem, v.detail, v.problems::int,
      v.entries_checked = (
        select count(*) from bulwark.audit_logs e
        where bulwark_private.audit_seal_of(e.timeline, e.xid, e.id) is not null
      ) as all_checked
    from bulwark.verify_audit_log() v
  `;
  assert.ok(verdict);
  return { ...verdict };
}

/** The answer of `verify` for a log with nothing wrong. */
export const intact = {
  intact: true,
  complete: true,
  problem: null,
  detail: null,
  problems: 0,
  all_checked: true,
};
