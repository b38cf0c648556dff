/** A whole installation and its removal: the schema and the files are as they were. */
import assert from "node:assert/strict";
import { newApplication, succeed as run } from "./application.ts";
import { installations, startDatabase } from "./database.ts";
import { installCommand, snapshot } from "./support.ts";

const command = await installCommand();
globalThis.addEventListener("unload", () => Deno.removeSync(command.folder, { recursive: true }));

const newProject = (name: string) => newApplication(command, name);
const succeed = (project: string, ...args: string[]) => run(command, project, ...args);

/** A project's use of Bulwark on its own table. */
const guarding = `
  select bulwark.enable_audit('public.notes', organization_column => 'organization_id');
  select bulwark.use_organizations('public.teams', id => 'id', name => 'name');
  select bulwark.use_members(
    'public.members', organization => 'team_id', roles => '{"owner": "admin"}', otherwise => 'viewer'
  );
  select bulwark.enable_audit('public.posts', organization_column => 'organization_id', bulk => true);
  select bulwark.admit_api_keys(
    'public.posts', read_permission => 'analytics:read', write_permission => 'analytics:write'
  );
  select bulwark.require_mfa('public.notes');
  select bulwark.declare_encrypted_column('public.notes', 'secret', 'organization_id', true);
  select bulwark.install_request_hook();
`;

for (const installation of installations) {
  Deno.test(`CLI-30: after an uninstallation the schema is as it was, on ${installation.major}`, async () => {
    const project = await newProject(`whole_${installation.major}`);
    const database = await startDatabase(installation);
    const { sql } = database;
    try {
      await database.apply(project);
      const before = await database.schema();
      const filesBefore = await snapshot(project);
      await succeed(project, "init", "--with", "all", "--yes");
      await database.apply(project);
      await sql.unsafe(guarding);
      assert.notEqual(await database.schema(), before);

      await succeed(project, "uninstall", "--yes");
      await database.apply(project);
      assert.equal(await database.schema(), before);
      const [hook] = await sql`
        select array_to_string(setconfig, ' ') as hook from pg_db_role_setting
        where setrole = 'authenticator'::regrole
      `;
      assert.match(hook?.hook, /db_pre_request=public\.check_request/);
      const [role] = await sql`select count(*)::int from pg_roles where rolname = 'api_key'`;
      assert.equal(role?.count, 0);
      if (installation.major === 15) {
        const [jobs] = await sql`select count(*)::int from cron.job`;
        assert.equal(jobs?.count, 0);
      }

      const files = await snapshot(project);
      const ours = Object.keys(files).filter((path) => !(path in filesBefore));
      assert.deepEqual(ours.filter((path) => !/_bulwark_\w+\.sql$/.test(path)), []);
      for (const path of Object.keys(filesBefore)) {
        assert.equal(files[path], filesBefore[path], path);
      }

      // And once more: an installation after it works as the first.
      await succeed(project, "init", "--with", "all", "--yes", "--db", database.url);
      await database.apply(project);
      if (installation.major === 15) {
        await sql`select cron.schedule('nightly', '0 3 * * *', 'select bulwark.seal_audit_log()')`;
        const stopped = await command.run(project, "uninstall", "--yes", "--db", database.url);
        assert.match(stopped.stderr, /cron job nightly: depends on Bulwark/);
      }
      await succeed(project, "uninstall", "--yes");
      if (installation.major === 15) {
        await assert.rejects(database.apply(project), /cron job nightly, which names bulwark/);
        await sql`select cron.unschedule('nightly')`;
      }
      await database.apply(project);
      assert.equal(await database.schema(), before);
    } finally {
      await database.stop();
    }
  });
}
