/** A terminal in which tests run the commands of documents. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { inRepository } from "../scripts/stack/paths.ts";
import { metricsToken, publishableKey, schedulerSecret, secretKey, url } from "./support.ts";

/** The output of commands, and how they ended. */
export interface Ran {
  /** Both streams, one after the other; `stdout` is the first alone. */
  output: string;
  stdout: string;
  exitCode: number;
}

/** A terminal that keeps its variables and its folder from one command to the next. */
export interface Shell {
  /** Does this in the place of a restart of the stack. */
  restartWith(other: typeof restart): void;
  set(name: string, value: string): void;
  enter(path: string): void;
  run(text: string): Promise<Ran>;
  close(): Promise<void>;
}

/** Replaces `<names>` by their values; a name without a value is a mistake of the test. */
export function filled(text: string, values: Record<string, string>): string {
  return text.replaceAll(/<([a-z][a-z0-9 '-]*)>/g, (_, name: string) => {
    const value = values[name];
    assert.notEqual(value, undefined, `no value for <${name}>`);
    return value as string;
  });
}

/**
 * A shell in the repository with the variables of docs/runbooks/README.md. `supabase secrets set` and
 * `unset` restart the stack with the new values, because its functions have no hosted runtime, and
 * `supabase db push --remote` means the database of the test; every other command is the real one.
 */
export async function openShell(): Promise<Shell> {
  const folder = await Deno.makeTempDir({ prefix: "bulwark-shell-" });
  const changes = join(folder, "changes");
  const state = join(folder, "state");
  await Deno.writeTextFile(
    join(folder, "supabase"),
    `#!/bin/sh
case "$1 $2" in
  "secrets set") shift 2; for pair in "$@"; do printf 'set %s\\n' "$pair" >> '${changes}'; done; exit ;;
  "secrets unset") shift 2; for name in "$@"; do printf 'unset %s\\n' "$name" >> '${changes}'; done; exit ;;
esac
if [ "$*" = 'db push --remote' ]; then
  set -- db push --yes --agent no --remote="$DATABASE_URL?sslmode=disable"
fi
exec '${inRepository("node_modules", ".bin", "supabase")}' "$@"
`,
    { mode: 0o755 },
  );
  const env: Record<string, string> = {
    PATH: `${folder}:${Deno.env.get("PATH")}`,
    URL: url,
    SUPABASE_URL: url,
    PUBLISHABLE_KEY: publishableKey,
    SUPABASE_SECRET_KEY: secretKey,
    DATABASE_URL: Deno.env.get("BULWARK_TEST_DB_URL") ?? "",
    BULWARK_SCHEDULER_SECRET: schedulerSecret,
    BULWARK_METRICS_TOKEN: metricsToken,
    // A person's terminal has none of the test run's own settings.
    BULWARK_PARENT_PIPE: "",
    NO_COLOR: "1",
  };
  let cwd = inRepository();
  let restartServer = restart;
  const decoder = new TextDecoder();
  return {
    restartWith(other) {
      restartServer = other;
    },
    set(name, value) {
      env[name] = value;
    },
    enter(path) {
      cwd = path;
    },
    async run(text) {
      const keep = `trap 'pwd > "${state}.folder"; env -0 > "${state}"' EXIT`;
      const { code, stdout, stderr } = await new Deno.Command("bash", {
        args: ["-aeuo", "pipefail", "-c", `${keep}\n${text}`],
        cwd,
        env,
        stdin: "null",
      }).output();
      cwd = (await Deno.readTextFile(`${state}.folder`)).trimEnd();
      for (const pair of (await Deno.readTextFile(state)).split("\0")) {
        const [name, value = ""] = pair.split(/=([^]*)/, 2);
        if (name) env[name] = value;
      }
      const changed = await Deno.readTextFile(changes).catch(() => "");
      if (changed && code === 0) {
        await Deno.remove(changes);
        await restartServer(changesOf(changed));
      }
      const [out, err] = [decoder.decode(stdout), decoder.decode(stderr)];
      return { output: out + err, stdout: out, exitCode: code };
    },
    close: () => Deno.remove(folder, { recursive: true }),
  };
}

function changesOf(lines: string): Record<string, string | null> {
  const changed: Record<string, string | null> = {};
  for (const line of lines.trimEnd().split("\n")) {
    const [, verb, name = "", value = ""] = /^(set|unset) (\w+)(?:=(.*))?$/.exec(line) ?? [];
    changed[name] = verb === "unset" ? null : value;
  }
  return changed;
}

/** Restarts the stack with other variables (null: not set), on the same ports and database. */
export async function restart(changed: Record<string, string | null>): Promise<void> {
  const answer = await fetch(Deno.env.get("BULWARK_TEST_RESTART") ?? "", {
    method: "POST",
    body: JSON.stringify(changed),
  });
  assert.equal(answer.status, 204, await answer.text());
}
