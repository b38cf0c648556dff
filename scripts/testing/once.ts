import { join } from "node:path";
import { exists } from "../stack/binaries.ts";

/** The setting that names the folder where a test run keeps what its processes make once. */
export const keptFolder = "BULWARK_TEST_KEPT";

/**
 * Makes a folder once in a test run, and returns it. The first process that needs it makes it, and
 * others wait. Without a run, as for a test file by itself, it is made in `otherwise`.
 */
export async function madeOnce(
  name: string,
  otherwise: string,
  make: (folder: string) => Promise<void>,
): Promise<string> {
  const folder = join(Deno.env.get(keptFolder) ?? otherwise, name);
  using lock = await Deno.open(`${folder}.lock`, { create: true, write: true });
  await lock.lock(true);
  if (exists(folder)) return folder;
  const draft = `${folder}.draft`;
  if (exists(draft)) await Deno.remove(draft, { recursive: true });
  // A database may live there: its user has to pass through.
  await Deno.mkdir(draft);
  await Deno.chmod(draft, 0o711);
  await make(draft);
  await Deno.rename(draft, folder);
  return folder;
}
