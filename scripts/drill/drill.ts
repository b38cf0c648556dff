/** One drill: a project is filled, backed up, lost, and restored into a new cluster, by each way. */
import { join } from "node:path";
import type { PostgresInstallation } from "../stack/binaries.ts";
import { connect } from "../stack/connection.ts";
import { Failure, reason } from "../stack/failure.ts";
import type { StackState } from "../stack/instance.ts";
import { stackPaths } from "../stack/paths.ts";
import { loadSecrets, type Secrets } from "../stack/secrets.ts";
import { startProgram } from "../testing/program.ts";
import type { Place } from "../tour/guide.ts";
import { contents } from "./backups.ts";
import { checks, fill, type Kept } from "./project.ts";
import { serving, type Stopped, type Way } from "./ways.ts";

/** Gets each step with how long it took, in milliseconds. */
export type Tell = (step: string, milliseconds: number) => void;

/** A project that was filled, backed up by each way, and lost. */
interface Lost {
  kept: Kept;
  secrets: string;
  before: Record<string, string>;
}

/**
 * Drills all ways, one after the other.
 * @returns what was lost, by way: tables and checks that are not as before; nothing, if all is well
 * @throws Failure DRILL if a step fails
 */
export async function drill(
  folder: string,
  installation: PostgresInstallation,
  ways: readonly Way[],
  tell: Tell,
): Promise<string[]> {
  const timed = async <Result>(step: string, task: () => Promise<Result>): Promise<Result> => {
    const start = performance.now();
    const result = await task().catch((thrown) => {
      throw new Failure("DRILL", `Cannot drill, ${step}: ${reason(thrown)}`);
    });
    tell(step, performance.now() - start);
    return result;
  };
  const backup = (way: Way) => join(folder, `backup-${ways.indexOf(way)}`);
  const lost = await loseProject(folder, installation, async (from) => {
    for (const way of ways) {
      await timed(`back up: ${way.name}`, () => way.backUp(from, backup(way)));
    }
  }, timed);

  const missing: string[] = [];
  for (const way of ways) {
    const to = await emptyStack(join(folder, `restored-${ways.indexOf(way)}`), installation, lost);
    await timed(`restore: ${way.name}`, () => way.restore(backup(way), to));
    const after = await serving(to, ({ cluster, password }) => digest(cluster, password));
    missing.push(...differences(lost.before, after, way));
    const program = startProgram(programOf(to));
    try {
      const state = await timed("  start the functions", () => ready(program));
      for (const [name, check] of Object.entries(checks)) {
        const place = placeOf(state, await loadSecrets(to.paths.secrets));
        await timed(`  ${name}`, () => check(place, lost.kept));
      }
    } finally {
      await program.stop();
    }
    await Deno.remove(to.paths.folder, { recursive: true });
  }
  return missing;
}

/** Fills a project, has it backed up while nobody writes, and deletes it. */
async function loseProject(
  folder: string,
  installation: PostgresInstallation,
  backUp: (from: Stopped) => Promise<void>,
  timed: <Result>(step: string, task: () => Promise<Result>) => Promise<Result>,
): Promise<Lost> {
  const paths = stackPaths(join(folder, "project"));
  const from = { paths, installation, password: "" };
  const program = startProgram(programOf(from));
  let kept: Kept;
  let loaded: Secrets;
  try {
    const state = await timed("start a project", () => ready(program));
    loaded = await loadSecrets(paths.secrets);
    kept = await timed("fill it", () => fill(placeOf(state, loaded)));
  } finally {
    await program.stop();
  }
  from.password = loaded.databasePassword;
  const secrets = await Deno.readTextFile(paths.secrets);
  const before = await serving(from, ({ cluster, password }) => digest(cluster, password));
  await backUp(from);
  await timed(
    "lose everything but the backups and the secrets",
    () => Deno.remove(paths.folder, { recursive: true }),
  );
  return { kept, secrets, before };
}

/** A folder with the secrets, which were kept apart from the backups. */
async function emptyStack(
  folder: string,
  installation: PostgresInstallation,
  { secrets }: Lost,
): Promise<Stopped> {
  const paths = stackPaths(folder);
  await Deno.mkdir(folder, { mode: 0o711 });
  await Deno.writeTextFile(paths.secrets, secrets, { mode: 0o600 });
  return { paths, installation, password: (await loadSecrets(paths.secrets)).databasePassword };
}

const programOf = ({ paths, installation }: Stopped) => ({
  folder: paths.folder,
  args: ["--port", "0", "--postgres-bin", installation.bin],
});

async function ready(program: ReturnType<typeof startProgram>): Promise<StackState> {
  const state = await program.ready();
  if (state) return state;
  throw new Failure("DRILL", `the stack does not start: ${(await program.output()).trim()}`);
}

function placeOf(state: StackState, secrets: Secrets): Place {
  const login = `supabase_admin:${secrets.databasePassword}`;
  return {
    ...state,
    superuserUrl: `postgresql://${login}@127.0.0.1:${state.databasePort}/postgres`,
    schedulerSecret: secrets.schedulerSecret,
    metricsToken: secrets.metricsToken,
  };
}

async function digest(
  cluster: { url(role: string, password: string): string },
  password: string,
): Promise<Record<string, string>> {
  const sql = connect(cluster.url("supabase_admin", password));
  try {
    return await contents(sql);
  } finally {
    await sql.end();
  }
}

/** Tables and sequences that do not have every row as it was. */
function differences(
  before: Record<string, string>,
  after: Record<string, string>,
  way: Way,
): string[] {
  const rows = (digest: string | undefined) => digest?.split(" ")[0] ?? "no table";
  // A copy of a cluster is sealed at once, which records that it was restored.
  const isCopy = !way.needsPrograms;
  return Object.keys(before).filter((name) =>
    isCopy ? Number(rows(after[name])) < Number(rows(before[name])) : after[name] !== before[name]
  ).map((name) => `${way.name}: ${name}, ${rows(before[name])} → ${rows(after[name])}`);
}
