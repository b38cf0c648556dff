/**
 * `npm run drill`: rehearses the recovery. It fills a project (two organizations, members, MFA,
 * encrypted fields, an API key, a sealed audit log with a checkpoint, a queued webhook), backs it up as
 * Supabase does, with pg_dump -Fc and with npm run backup, deletes it, restores each backup into a
 * new cluster, and tries out that everything is there. It prints how long each step took and what was
 * lost.
 *
 *   --postgres-bin <folder>   the programs of PostgreSQL, with pg_dump; Debian's 15 by default
 *
 * Without pg_dump only npm run backup is drilled, on the embedded Postgres. It touches nothing but a
 * temporary folder. Ends with 0 where nothing was lost.
 */
import { join } from "node:path";
import { drill } from "./drill/drill.ts";
import { ways } from "./drill/ways.ts";
import { parseArguments } from "./stack/arguments.ts";
import { debianPostgres, embeddedPostgres, exists, postgresAt } from "./stack/binaries.ts";
import { main } from "./stack/main.ts";
import { makeScratchFolder } from "./stack/scratch.ts";

// Nothing of the project that is set up there may be in the drill.
Deno.env.set("BULWARK_ENV_FILE", "");

await main(async () => {
  const { values } = parseArguments(
    { "postgres-bin": { type: "string" } },
    "npm run drill [-- --postgres-bin <folder>]",
  );
  const bin = values["postgres-bin"];
  const installation = bin ? postgresAt(bin) : debianPostgres() ?? embeddedPostgres();
  const isComplete = exists(join(installation.bin, "pg_dump"));
  const { path, remove } = await makeScratchFolder("drill");
  const start = performance.now();
  try {
    console.log(`Postgres ${installation.major} of ${installation.bin}`);
    const possible = ways.filter(({ needsPrograms }) => isComplete || !needsPrograms);
    const lost = await drill(path, installation, possible, print);
    print("all of it", performance.now() - start);
    console.log(lost.length === 0 ? "Nothing was lost." : `Lost:\n  ${lost.join("\n  ")}`);
    if (!isComplete) {
      console.log("Not drilled, for want of pg_dump: backups by Supabase, and pg_dump -Fc.");
    }
    return lost.length === 0 ? 0 : 1;
  } finally {
    await remove();
  }
});

function print(step: string, milliseconds: number): void {
  console.log(`${(milliseconds / 1000).toFixed(1).padStart(7)} s  ${step}`);
}
