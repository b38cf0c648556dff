/**
 * `npm start`: the local stack, until it is stopped by Ctrl-C or SIGTERM.
 *
 *   npm start -- --reset          start over with an empty database
 *   npm start -- --port 54400     listen elsewhere (0: any free port)
 *   npm start -- --db-port 54322  fix the database's port
 *   npm start -- --auth-bin <path>       a Supabase Auth of yours in place of Lite
 *   npm start -- --postgrest-bin <path>  a PostgREST of yours in place of Lite
 *   npm start -- --postgres-bin <folder> the programs of another Postgres (15 or 17)
 *   npm start -- --lost-keys      go on without keys that are lost, and what they encrypted
 */
import { relative } from "node:path";
import { parseArguments, pathOption, portOption } from "./stack/arguments.ts";
import { postgresAt } from "./stack/binaries.ts";
import { main } from "./stack/main.ts";
import { root, stackPaths } from "./stack/paths.ts";
import { type Stack, startStack } from "./stack/stack.ts";

const usage = "npm start -- [--reset] [--port <port>] [--db-port <port>] [--auth-bin <path>] " +
  "[--postgrest-bin <path>] [--postgres-bin <folder>] [--lost-keys]";

await main(async (signal) => {
  const { values } = parseArguments({
    reset: { type: "boolean" },
    port: { type: "string" },
    "db-port": { type: "string" },
    "auth-bin": { type: "string" },
    "postgrest-bin": { type: "string" },
    "postgres-bin": { type: "string" },
    "lost-keys": { type: "boolean" },
  }, usage);
  const bin = pathOption(values["postgres-bin"]);
  const stack = await startStack({
    port: portOption("port", values.port) ?? 54321,
    databasePort: portOption("db-port", values["db-port"]),
    reset: values.reset === true,
    authBinary: pathOption(values["auth-bin"]),
    postgrestBinary: pathOption(values["postgrest-bin"]),
    postgres: bin === undefined ? undefined : postgresAt(bin),
    lostKeys: values["lost-keys"] === true,
  });
  try {
    if (!signal.aborted) console.log(welcome(stack));
    await aborted(signal);
  } finally {
    await stack.stop();
  }
});

function welcome(stack: Stack): string {
  const started = Number(Deno.env.get("BULWARK_STARTED_AT")) || performance.timeOrigin;
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  const lines = [
    `Bulwark is ready after ${seconds} s; Ctrl-C stops it`,
    "",
    `  Console and API  ${stack.url}`,
    `  Publishable key  ${stack.secrets.publishableKey}`,
    `  Secret key       SUPABASE_SECRET_KEY in ${relative(root, stackPaths().secrets)}`,
    `  Database         postgresql://postgres@127.0.0.1:${stack.databasePort}/postgres, ` +
    "POSTGRES_PASSWORD in the same file",
  ];
  if (stack.demo.length > 0) {
    const width = Math.max(...stack.demo.map(({ email }) => email.length));
    lines.push("", `  Demo accounts, password ${stack.secrets.demoPassword}`);
    for (const { email, role } of stack.demo) lines.push(`    ${email.padEnd(width)}  ${role}`);
  }
  return lines.join("\n");
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve()));
}
