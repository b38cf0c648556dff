/**
 * One edge function in a process of its own, in front of the stack's other paths: as on a hosted project,
 * its variables change without a look at the database, which `npm start` takes.
 */
import assert from "node:assert/strict";
import { currentDeno } from "../../scripts/stack/binaries.ts";
import { inRepository } from "../../scripts/stack/paths.ts";
import { freePort } from "../../scripts/stack/ports.ts";
import { publishableKey, schedulerSecret, secretKey, url } from "../support.ts";

/** A function that is served apart. */
export interface ServedFunction {
  /** Serves the function, and everything else as the stack does. */
  url: string;
  /** Its variables as they are now. */
  env: Readonly<Record<string, string>>;
  /** Starts the function again with other variables (null: not set). */
  restart(changed: Record<string, string | null>): Promise<void>;
  stop(): Promise<void>;
}

export async function serveFunction(
  name: string,
  given: Record<string, string>,
): Promise<ServedFunction> {
  const port = freePort();
  const env: Record<string, string> = {
    SUPABASE_URL: url,
    SUPABASE_ANON_KEY: publishableKey,
    SUPABASE_SERVICE_ROLE_KEY: secretKey,
    BULWARK_SCHEDULER_SECRET: schedulerSecret,
    BULWARK_AUDIT_ORIGIN: "bulwark.localhost/audit",
    ...given,
    DENO_SERVE_ADDRESS: `tcp:127.0.0.1:${port}`,
    PATH: Deno.env.get("PATH") ?? "",
    HOME: Deno.env.get("HOME") ?? "",
  };
  let child: Deno.ChildProcess | undefined;
  const start = async () => {
    child = new Deno.Command(currentDeno(), {
      args: [
        ...["run", "--allow-all", "--no-check", `--config=${inRepository("deno.json")}`],
        inRepository("supabase", "functions", name, "index.ts"),
      ],
      env,
      clearEnv: true,
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    for (let tries = 0;; tries++) {
      assert.ok(tries < 300, `${name} does not listen`);
      const listens = await Deno.connect({ hostname: "127.0.0.1", port }).catch(() => null);
      if (listens) return listens.close();
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  const end = async () => {
    child?.kill("SIGKILL");
    await child?.status;
  };
  await start();
  const prefix = `/functions/v1/${name}`;
  const proxy = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      const { pathname, search } = new URL(request.url);
      const target = pathname.startsWith(`${prefix}/`)
        ? `http://127.0.0.1:${port}${pathname.slice("/functions/v1".length)}${search}`
        : `${url}${pathname}${search}`;
      const body = request.body ? await request.arrayBuffer() : null;
      return await fetch(target, { method: request.method, headers: request.headers, body });
    },
  );
  return {
    url: `http://127.0.0.1:${proxy.addr.port}`,
    env,
    async restart(changed) {
      for (const [variable, value] of Object.entries(changed)) {
        if (value === null) delete env[variable];
        else env[variable] = value;
      }
      await end();
      await start();
    },
    async stop() {
      await proxy.shutdown();
      await end();
    },
  };
}
