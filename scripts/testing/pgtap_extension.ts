import { dirname, join } from "node:path";
import { exists, type PostgresInstallation } from "../stack/binaries.ts";
import { Failure } from "../stack/failure.ts";
import { inRepository } from "../stack/paths.ts";

/**
 * Puts pgTAP among the extensions of the embedded server, which comes without; PGlite's package
 * has it as plain SQL. Other installations bring their own.
 */
export async function installPgtap(installation: PostgresInstallation): Promise<void> {
  if (!installation.bin.includes("node_modules")) return;
  const target = dirname(installation.bin);
  if (exists(join(target, "share", "postgresql", "extension", "pgtap.control"))) return;
  const archive = inRepository(
    "node_modules",
    "@electric-sql",
    "pglite-pgtap",
    "dist",
    "pgtap.tar.gz",
  );
  const result = await new Deno.Command("tar", { args: ["-xzf", archive, "-C", target] }).output();
  if (result.success) return;
  throw new Failure("NO_PGTAP", `Cannot unpack ${archive} into ${target}`);
}
