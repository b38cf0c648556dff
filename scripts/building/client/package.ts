/** Builds the package of the client library, for tests. */
import { join } from "node:path";
import { inRepository } from "../../stack/paths.ts";
import { madeOnce } from "../../testing/once.ts";

/** A package that was built and packed. */
export interface BuiltPackage {
  tarball: string;
  /** A folder in which the package and those that its guide uses can be imported. */
  consumer: string;
}

/** Builds the package once in a test run, and copies it to a scratch folder. */
export async function buildClient(scratch: string): Promise<BuiltPackage> {
  const made = await madeOnce("client-package", scratch, build);
  for (const name of ["consumer", "client.tgz"]) {
    await run("cp", ["-a", join(made, name), join(scratch, name)]);
  }
  return { tarball: join(scratch, "client.tgz"), consumer: join(scratch, "consumer") };
}

/** Builds it in a folder of its own, so that nobody else's build is in the way. */
async function build(scratch: string): Promise<void> {
  const source = join(scratch, "source", "clients", "js");
  await Deno.mkdir(source, { recursive: true });
  const projects = ["tsconfig.json", "tsconfig.audit.json"];
  for (const name of ["src", "package.json", "README.md", "LICENSE", ...projects]) {
    await run("cp", ["-R", inRepository("clients", "js", name), join(source, name)]);
  }
  // The verifier of exports shares code with the functions.
  const functions = join(scratch, "source", "supabase", "functions");
  await Deno.mkdir(functions, { recursive: true });
  await run("cp", ["-R", inRepository("supabase", "functions", "_bulwark"), functions]);
  await run("cp", [inRepository("package.json"), join(scratch, "source")]);
  await Deno.symlink(inRepository("node_modules"), join(scratch, "source", "node_modules"));
  const tsc = inRepository("node_modules", "typescript-7", "bin", "tsc");
  for (const project of projects) await run("node", [tsc, "-p", join(source, project)]);
  await run(
    "npm",
    ["pack", "--ignore-scripts", "--loglevel=error", "--pack-destination", scratch],
    source,
  );
  const tarball = Array.from(Deno.readDirSync(scratch), ({ name }) => name)
    .find((name) => name.endsWith(".tgz")) ?? "";
  const consumer = join(scratch, "consumer");
  const installed = join(consumer, "node_modules", "@bulwark", "client");
  await Deno.mkdir(installed, { recursive: true });
  await run("tar", ["-xzf", join(scratch, tarball), "-C", installed, "--strip-components=1"]);
  for (const name of ["@supabase", "@tanstack", "@types", "express", "hono", "react"]) {
    await Deno.symlink(inRepository("node_modules", name), join(consumer, "node_modules", name));
  }
  await Deno.writeTextFile(join(consumer, "package.json"), '{ "type": "module" }');
  await Deno.rename(join(scratch, tarball), join(scratch, "client.tgz"));
}

/** Runs a program; throws with its output if it fails. */
export async function run(program: string, args: string[], cwd?: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, {
    args,
    ...cwd === undefined ? {} : { cwd },
    stdin: "null",
  }).output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  if (!success) throw new Error(`${program} failed: ${out}${err}`);
  return out ?? "";
}
