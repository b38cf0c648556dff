/** The guide of the command, in a project of its own, whose database is like a hosted one. */
import { join } from "node:path";
import { embeddedPostgres } from "../../scripts/stack/binaries.ts";
import { startDatabase } from "../cli/database.ts";
import { initProject, installCommand } from "../cli/support.ts";
import { testPage } from "./page.ts";

testPage("docs/install.md", async (shell) => {
  const command = await installCommand();
  const database = await startDatabase(embeddedPostgres());
  const programs = join(command.folder, "programs");
  await Deno.mkdir(programs);
  // The program that is installed, as npx takes it: it downloads nothing.
  await Deno.writeTextFile(join(programs, "npx"), '#!/bin/sh\nexec "$@"\n', { mode: 0o755 });
  // Without a terminal somebody has to say yes in another way.
  await Deno.writeTextFile(
    join(programs, "bulwark"),
    `#!/bin/sh
case "$1" in add | upgrade | uninstall) set -- "$@" --yes ;; esac
exec '${command.program}' "$@"
`,
    { mode: 0o755 },
  );
  for (const name of ["app", "other_app"]) await initProject(join(command.folder, name));
  shell.enter(join(command.folder, "app"));
  shell.set("DATABASE_URL", database.url);
  shell.set("PROGRAMS", programs);
  await shell.run('PATH="$PROGRAMS:$PATH"');
  return async () => {
    await database.stop();
    await command.remove();
  };
});
