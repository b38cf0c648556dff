import { connect } from "../stack/connection.ts";
import { Failure, reason } from "../stack/failure.ts";
import type { StackState } from "../stack/instance.ts";
import { stackPaths } from "../stack/paths.ts";
import { freePort } from "../stack/ports.ts";
import { makeScratchFolder, type ScratchFolder } from "../stack/scratch.ts";
import { loadSecrets, type Secrets } from "../stack/secrets.ts";
import { copyFolder } from "./copy_folder.ts";
import { littleToCopy } from "./prepared_clusters.ts";
import { type Program, startProgram } from "./program.ts";

/** A whole stack in a process of its own, in a temporary folder and on free ports. */
export interface TestStack {
  /** The environment variables of end-to-end tests. */
  env: Record<string, string>;
  stop(): Promise<void>;
}

/** The stacks of one test run. */
export interface TestStacks {
  /**
   * Starts `npm start`'s own program and waits until it serves; with options of it, such as
   * `--auth-bin`, if they are given.
   */
  start(options?: string[]): Promise<TestStack>;
  /** The folder of a stack that was started once, to be copied. */
  prepared(): Promise<string>;
  /** Stops those that run, and deletes what they were made from. */
  stop(): Promise<void>;
}

/**
 * Prepares stacks that begin as copies of one that was started, migrated and filled with the demo
 * once: what a stack does the first time is tested by `scripts/stack/start.test.ts`.
 */
export function testStacks(): TestStacks {
  const originals = new Map<string, Promise<ScratchFolder>>();
  const running = new Set<TestStack>();
  const prepared = async (options: string[] = []) => {
    const key = options.join(" ");
    const original = originals.get(key) ?? makeOriginal(options);
    originals.set(key, original);
    return folderIn((await original).path);
  };
  return {
    prepared,
    async start(options = []) {
      const scratch = await makeScratchFolder("e2e");
      try {
        await copyFolder(await prepared(options), folderIn(scratch.path));
        const { env, stop } = await serve(scratch, options);
        const stack = {
          env,
          async stop() {
            running.delete(stack);
            await stop();
          },
        };
        running.add(stack);
        return stack;
      } catch (thrown) {
        await scratch.remove();
        throw thrown;
      }
    },
    async stop() {
      await Promise.all(Array.from(running, (stack) => stack.stop()));
      for (const original of originals.values()) {
        const made = await original.catch(() => null);
        await made?.remove();
      }
    },
  };
}

const folderIn = (scratch: string) => `${scratch}/stack`;

async function makeOriginal(options: string[]): Promise<ScratchFolder> {
  const scratch = await makeScratchFolder("original");
  try {
    const program = startProgram({
      folder: folderIn(scratch.path),
      args: ["--port", "0", ...options],
    });
    const state = await untilReady(program);
    await setForCopies(folderIn(scratch.path), state);
    await program.stop();
    return scratch;
  } catch (thrown) {
    await scratch.remove();
    throw thrown;
  }
}

function databaseUrl(role: string, state: StackState, { databasePassword }: Secrets): string {
  return `postgresql://${role}:${databasePassword}@127.0.0.1:${state.databasePort}/postgres`;
}

/** Settings that the copies keep. A server that a test kills loses nothing; a machine would. */
async function setForCopies(folder: string, state: StackState): Promise<void> {
  const secrets = await loadSecrets(stackPaths(folder).secrets);
  const admin = connect(databaseUrl("supabase_admin", state, secrets));
  try {
    const settings = { fsync: "off", full_page_writes: "off", ...littleToCopy };
    for (const [name, value] of Object.entries(settings)) {
      await admin.unsafe(`alter system set ${name} = ${value}`);
    }
    // Several stacks run beside each other, and mostly wait: their jobs would take a core.
    await admin`
      update bulwark_private.jobs
      set local_every = least(every, local_every * 3) where local_every > '1 second'
    `;
    await admin`
      update bulwark.settings set value = '2' where name = 'audit.seal_interval_seconds'
    `;
    await admin`select pg_reload_conf()`;
  } finally {
    await admin.end();
  }
}

async function untilReady(program: Program) {
  const state = await program.ready();
  if (state) return state;
  const output = await program.output();
  await program.stop();
  throw new Failure("STACK_FAILED", `Cannot start the test stack: ${output.trim()}`);
}

async function serve(scratch: ScratchFolder, options: string[]): Promise<TestStack> {
  const folder = folderIn(scratch.path);
  // A bucket and a provider of e-mail that tests serve; nothing answers there otherwise.
  const archive = `http://127.0.0.1:${freePort()}/archive/log`;
  const mail = {
    url: `http://127.0.0.1:${freePort()}/emails`,
    secret: `whsec_${btoa("the secret of the invitations' endpoint")}`,
  };
  const settings: Record<string, string> = {
    BULWARK_MAIL_URL: mail.url,
    BULWARK_MAIL_SECRET: mail.secret,
    BULWARK_MAIL_KEY: "re_test",
    BULWARK_MAIL_FROM: "Bulwark <bulwark@app.example>",
    BULWARK_AUDIT_ARCHIVE: archive,
    BULWARK_AUDIT_ARCHIVE_KEY_ID: "S3RVER",
    BULWARK_AUDIT_ARCHIVE_SECRET: "S3RVER",
  };
  let program = startProgram({ folder, args: ["--port", "0", ...options], env: settings });
  const state = await untilReady(program);
  const restarts = serveRestarts(async (changed) => {
    await program.stop();
    for (const [name, value] of Object.entries(changed)) {
      if (value === null) delete settings[name];
      else settings[name] = value;
    }
    const args = ["--port", new URL(state.url).port, "--db-port", String(state.databasePort)];
    args.push(...options);
    program = startProgram({ folder, args, env: settings });
    await untilReady(program);
  });
  const stop = async () => {
    await restarts.stop();
    await program.stop();
    await scratch.remove();
  };
  const secrets = await loadSecrets(stackPaths(folder).secrets);
  const database = (role: string) => databaseUrl(role, state, secrets);
  const env = {
    BULWARK_TEST_URL: state.url,
    BULWARK_TEST_PUBLISHABLE_KEY: secrets.publishableKey,
    BULWARK_TEST_SECRET_KEY: secrets.secretKey,
    BULWARK_TEST_JWT_SECRET: secrets.jwtSecret,
    BULWARK_TEST_SCHEDULER_SECRET: secrets.schedulerSecret,
    BULWARK_TEST_METRICS_TOKEN: secrets.metricsToken,
    BULWARK_TEST_AUDIT_SIGNING_KEYS: secrets.auditSigningKeys,
    BULWARK_TEST_ENCRYPTION_KEYS: secrets.encryptionKeys,
    BULWARK_TEST_SCANNER_PRIVATE_KEY: secrets.scannerPrivateKey,
    BULWARK_TEST_DEMO_PASSWORD: secrets.demoPassword,
    BULWARK_TEST_ARCHIVE: archive,
    BULWARK_TEST_MAIL_URL: mail.url,
    BULWARK_TEST_MAIL_SECRET: mail.secret,
    BULWARK_TEST_RESTART: restarts.url,
    BULWARK_TEST_LOG: `${folder}.log`,
    BULWARK_TEST_DB_URL: database("postgres"),
    BULWARK_TEST_ADMIN_DB_URL: database("supabase_admin"),
    BULWARK_TEST_AUTHENTICATOR_DB_URL: database("authenticator"),
  };
  return { env, stop };
}

/**
 * Restarts a stack when a test posts the variables that its functions are to have from then on (null:
 * not set), as a hosted project does after `supabase secrets set`.
 */
function serveRestarts(restart: (changed: Record<string, string | null>) => Promise<void>) {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      try {
        await restart(await request.json());
        return new Response(null, { status: 204 });
      } catch (thrown) {
        return new Response(reason(thrown), { status: 503 });
      }
    },
  );
  return { url: `http://127.0.0.1:${server.addr.port}/`, stop: () => server.shutdown() };
}
