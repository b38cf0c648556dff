/** The workflow for adopters: it is valid, its commands exist, and it gives no secret away. */
import assert from "node:assert/strict";
import { parse } from "yaml";
import { exists, supabaseCli } from "../stack/binaries.ts";
import { inRepository } from "../stack/paths.ts";

interface Step {
  name?: string;
  uses?: string;
  run?: string;
  env?: Record<string, string>;
}

const text = await Deno.readTextFile(inRepository("deploy", "github", "bulwark.yml"));
const workflow = parse(text, { strict: true, uniqueKeys: true });
const jobs: Record<string, { steps: Step[]; "runs-on": string; "timeout-minutes": number }> =
  workflow.jobs;
const steps = Object.values(jobs).flatMap((job) => job.steps);
const commands = steps.flatMap(({ run }) => run ? [run] : []);

Deno.test("the workflow has only the keys that GitHub knows, and each step does one thing", () => {
  const known = ["name", "on", "permissions", "concurrency", "jobs"];
  assert.deepEqual(Object.keys(workflow).filter((key) => !known.includes(key)), []);
  for (const [name, job] of Object.entries(jobs)) {
    assert.ok(job["runs-on"] && job["timeout-minutes"] > 0, name);
    const keys = ["if", "runs-on", "timeout-minutes", "environment", "steps"];
    assert.deepEqual(Object.keys(job).filter((key) => !keys.includes(key)), []);
    for (const step of job.steps) {
      assert.equal(Number(Boolean(step.uses)) + Number(Boolean(step.run)), 1);
      const allowed = ["name", "uses", "run", "with", "env"];
      assert.deepEqual(Object.keys(step).filter((key) => !allowed.includes(key)), []);
      if (step.uses) assert.match(step.uses, /^actions\/(checkout|setup-node)@v\d+$/);
    }
  }
});

Deno.test("it may only read, and nothing that others write becomes part of a command", () => {
  assert.deepEqual(workflow.permissions, { contents: "read" });
  assert.ok(!("pull_request_target" in workflow.on));
  for (const command of commands) assert.ok(!command.includes("${{"), command);
  const job = Object.entries(jobs).find(([, { steps }]) =>
    steps.some(({ env }) => Object.values(env ?? {}).some((value) => value.includes("secrets.")))
  );
  assert.equal(job?.[0], "deployed", "a pull request gets no secret");
});

Deno.test("every command exists, with the options that it is given", async () => {
  for (const command of commands) {
    const [program, ...rest] = command.split(" ");
    const options = rest.filter((word) => word.startsWith("--")).map((word) => word.split("=")[0]);
    if (program === "npm") assert.deepEqual(rest, ["ci"]);
    else if (program === "curl") assert.deepEqual(options, ["--fail", "--silent", "--show-error"]);
    else {
      assert.equal(program, "npx");
      const [tool, ...words] = rest;
      const first = words.findIndex((word) => word.startsWith("--"));
      const subcommand = first < 0 ? words : words.slice(0, first);
      const help = tool === "supabase" ? await helpOf(subcommand) : await helpOfOurs(subcommand);
      for (const option of options) {
        assert.match(help, new RegExp(`${option}\\b`), `${command}: ${option}`);
      }
    }
  }
});

async function helpOf(subcommand: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(supabaseCli(), {
    args: [...subcommand, "--help"],
  }).output();
  const help = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  assert.ok(success && help.includes(`supabase ${subcommand.join(" ")}`), help);
  return help;
}

async function helpOfOurs([command = ""]: string[]): Promise<string> {
  const path = inRepository("cli", "commands", `${command}.ts`);
  assert.ok(exists(path), command);
  return await Deno.readTextFile(path) +
    await Deno.readTextFile(inRepository("cli", "arguments.ts"));
}
