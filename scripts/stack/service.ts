import { exists } from "./binaries.ts";
import { Failure } from "./failure.ts";
import { killWithParent } from "./watchdog.ts";

/** A program that serves HTTP on loopback, beside the stack. */
export interface ServiceOptions {
  /** Its name in messages, such as `Supabase Auth`. */
  name: string;
  binary: string;
  args: string[];
  env: Record<string, string>;
  /** The port that it is told to listen on. */
  port: number;
  /** A path that answers once it serves. */
  healthPath: string;
  /** Its log file; emptied at every start. */
  log: string;
}

/** A program that serves. */
export interface Service {
  url: string;
  stop(): Promise<void>;
}

const startTimeout = 30_000;

/** Starts a program and waits until it serves; it ends with the stack, whatever ends that. */
export async function startService(options: ServiceOptions): Promise<Service> {
  const { name, port, log } = options;
  const child = spawn(options);
  let exited = false;
  const exit = child.status.then(() => exited = true);
  const watchdog = killWithParent(child.pid);
  const gone = exit.then(() => watchdog.release());
  let isStopping = false;
  const stop = async () => {
    isStopping = true;
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      if (exited) break;
      child.kill(signal);
      await Promise.race([exit, sleep(5000)]);
    }
    await gone;
  };
  const url = `http://127.0.0.1:${port}`;
  const startedAt = Date.now();
  while (!await answers(url + options.healthPath)) {
    if (exited || Date.now() - startedAt > startTimeout) {
      await stop();
      throw new Failure("SERVICE_FAILED", `Cannot start ${name}: ${lastError(log)}; see ${log}`);
    }
    await sleep(50);
  }
  void exit.then(() => {
    if (!isStopping) console.error(`${name} ended; see ${log}, and start the stack again`);
  });
  let stopping: Promise<void> | undefined;
  return { url, stop: () => stopping ??= stop() };
}

/** Runs a program of a service to its end; throws with its last error. */
export async function runToEnd(options: Omit<ServiceOptions, "port" | "healthPath">) {
  const { success } = await spawn(options).status;
  if (success) return;
  const { name, args, log } = options;
  throw new Failure(
    "SERVICE_FAILED",
    `Cannot run ${name} ${args.join(" ")}: ${lastError(log)}; see ${log}`,
  );
}

/** Refuses what is no program of the kind: `says` matches what one prints. */
export async function requireProgram(
  { name, binary, args, says }: { name: string; binary: string; args: string[]; says: RegExp },
): Promise<void> {
  const refuse = (state: string) =>
    new Failure("WRONG_PROGRAM", `Cannot use ${binary} as ${name}: ${state}`, 2);
  if (!exists(binary)) throw refuse("there is no such file");
  let printed: string;
  try {
    const output = await new Deno.Command(binary, {
      args,
      clearEnv: true,
      cwd: "/",
      stdin: "null",
      signal: AbortSignal.timeout(10_000),
    }).output();
    printed = new TextDecoder().decode(output.stdout) + new TextDecoder().decode(output.stderr);
  } catch {
    throw refuse("it cannot be run");
  }
  if (!says.test(printed)) throw refuse("it is another program");
}

/** Variables of the stack's own environment that are meant for a program: they come first. */
export function passedOn(prefix: string): Record<string, string> {
  return Object.fromEntries(
    Object.entries(Deno.env.toObject()).filter(([name]) => name.startsWith(prefix)),
  );
}

function spawn({ binary, args, env, log }: Omit<ServiceOptions, "port" | "healthPath">) {
  Deno.writeTextFileSync(log, "", { mode: 0o600 });
  // Detached, so that a Ctrl-C in the terminal reaches only us and the program is stopped in order.
  return new Deno.Command("/bin/sh", {
    args: ["-c", 'log=$1; shift; exec "$@" >>"$log" 2>&1', "sh", log, binary, ...args],
    // Nothing of our environment: some of its variables would mean something else there.
    clearEnv: true,
    env: { PATH: Deno.env.get("PATH") ?? "", ...env },
    cwd: "/",
    stdin: "null",
    stdout: "null",
    stderr: "null",
    detached: true,
  }).spawn();
}

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url);
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}

/** The last error in a log, as text or as the `msg` of a JSON line. */
function lastError(log: string): string {
  const lines = Deno.readTextFileSync(log).trim().split("\n");
  const line = lines.findLast((text) => /error|fatal/i.test(text)) ?? lines.at(-1);
  if (!line) return "it gave no reason";
  try {
    const { msg, error } = JSON.parse(line);
    return String(error ?? msg).split("\n")[0] ?? line;
  } catch {
    return line;
  }
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
