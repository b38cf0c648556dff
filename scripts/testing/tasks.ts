import { dirname, join } from "node:path";
import { currentDeno, exists, hostedDeno } from "../stack/binaries.ts";
import { inRepository } from "../stack/paths.ts";
import { missingFromDebian, type TestClusters } from "./clusters.ts";
import { runDenoTest } from "./deno_test.ts";
import { runPgtap } from "./pgtap.ts";
import type { TestTask } from "./result.ts";
import type { Selection } from "./selection.ts";
import { sharedStack, sharing } from "./shared_stack.ts";
import { installedCommand, type TestCommand } from "./test_command.ts";
import type { TestStacks } from "./test_stack.ts";

/** Made once in a test run, when a test needs it. */
export interface Made {
  stacks: TestStacks;
  command: TestCommand;
}

/**
 * The pgTAP files, as `postgres`, in databases that several files use, because each is rolled back:
 * on Postgres 17 as many as run at a time.
 */
export function pgtapTasks(paths: string[], clusters: TestClusters): TestTask[] {
  const idle: string[] = [];
  return paths.map((path): TestTask => ({
    kind: "pgtap 17",
    name: path.slice("supabase/tests/".length),
    run: async () => {
      const embedded = await clusters.embedded();
      const database = idle.pop() ?? await embedded.copy();
      const result = await runPgtap(path, embedded.url("postgres", database));
      idle.push(database);
      return result;
    },
  }));
}

/** The same on Debian's Postgres 15, one after the other: pg_cron works in one database only. */
export function pgtapOnDebian(paths: string[], clusters: TestClusters): TestTask[] {
  const missing = missingFromDebian();
  if (missing && paths.length > 0) {
    const skipped = { passed: 0, failures: [], skipped: [missing] };
    return [{ kind: "pgtap 15", name: "all files", run: () => Promise.resolve(skipped) }];
  }
  return paths.map((path): TestTask => ({
    kind: "pgtap 15",
    name: path.slice("supabase/tests/".length),
    lane: "pgtap 15",
    run: async () => {
      const debian = await clusters.debian();
      return await runPgtap(path, debian.url("postgres"));
    },
  }));
}

/**
 * Unit tests, a process for each folder: the functions' on both Denos, the scripts' on the current
 * one. The tests of the stack start some of their own: a process for each file, with one to copy.
 */
export function denoTasks(selection: Selection, made: Made, signal: AbortSignal): TestTask[] {
  const stacks = "scripts/stack";
  const group = (path: string) => dirname(path) === stacks ? path : dirname(path);
  const tasks = (kind: string, deno: () => string, paths: string[]): TestTask[] =>
    [...Map.groupBy(paths, group)].map(([name, paths]) => ({
      kind,
      name: paths.length === 1 ? paths[0] ?? name : name,
      run: async () => {
        const env = dirname(name) === stacks
          ? { BULWARK_TEST_PREPARED_STACK: await made.stacks.prepared() }
          : {};
        return await runDenoTest({ deno: deno(), paths, env, signal });
      },
    }));
  return [
    ...tasks("deno", currentDeno, [...selection.scripts, ...selection.unit]),
    ...tasks("deno 2.1", hostedDeno, selection.unit),
  ];
}

/**
 * Tests over HTTP, each file against a stack of its own, because some tamper with theirs, but for
 * those that share one; and tests of the command `bulwark`.
 */
export function endToEndTasks(paths: string[], made: Made, signal: AbortSignal): TestTask[] {
  return stackTasks("end to end", paths, [], made, signal);
}

/** Tests over HTTP against stacks with a real program in the place of a part of Lite. */
export function realTasks(
  real: Selection["real"],
  made: Made,
  signal: AbortSignal,
): TestTask[] {
  return real.flatMap(({ part: { noun, option, variable }, paths }) => {
    const options = [option, Deno.env.get(variable) ?? ""];
    return stackTasks(noun.replace("_", " "), paths, options, made, signal);
  });
}

/** Tests that take longest, and so begin first: they install, upgrade, or drive a browser. */
const long = /^tests\/(adopters|cli|client|console|doctor|restores|runbooks|upgrade)\//;

function stackTasks(
  kind: string,
  paths: string[],
  options: string[],
  made: Made,
  signal: AbortSignal,
): TestTask[] {
  const shared = sharing.filter((path) => paths.includes(path));
  const alone = paths.filter((path) => !shared.includes(path));
  const ordered = [true, false].flatMap((is) => alone.filter((path) => long.test(path) === is));
  const test = (path: string, env: Record<string, string>) =>
    runDenoTest({ deno: currentDeno(), paths: [path], env, signal });
  const onShared = sharedStack(made.stacks, options, shared.length);
  return [
    // First, because together they take longest.
    ...shared.map((path) => ({
      kind,
      name: path,
      lane: `shared stack for ${kind}`,
      run: () => onShared((env) => test(path, env)),
    })),
    ...ordered.map((path) => ({
      kind,
      name: path,
      run: async () => {
        const read = await settingsOf(path);
        const usesCommand = read.delete(installedCommand);
        const stack = read.size > 0 ? await made.stacks.start(options) : null;
        try {
          return await test(path, {
            ...stack?.env,
            ...usesCommand && { [installedCommand]: await made.command.folder() },
          });
        } finally {
          await stack?.stop();
        }
      },
    })),
  ];
}

/** The settings of a test run that a test file reads, itself or in the helpers that it imports. */
async function settingsOf(path: string, seen = new Set<string>()): Promise<Set<string>> {
  seen.add(path);
  const source = await Deno.readTextFile(inRepository(path));
  const found = new Set(source.match(/\bBULWARK_TEST_\w+/g));
  for (const [, imported = ""] of source.matchAll(/from "(\.[^"]+)"/g)) {
    const helper = join(dirname(path), imported);
    // A test may hold the text of a program with imports of its own.
    if (!helper.startsWith("tests/") || seen.has(helper) || !exists(inRepository(helper))) continue;
    for (const name of await settingsOf(helper, seen)) found.add(name);
  }
  return found;
}
