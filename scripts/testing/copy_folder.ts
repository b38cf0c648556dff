import { Failure } from "../stack/failure.ts";

/** Copies a folder with owners and modes: Postgres accepts no others. */
export async function copyFolder(from: string, to: string): Promise<void> {
  const { success, stderr } = await new Deno.Command("cp", { args: ["-a", from, to] }).output();
  if (!success) throw new Failure("COPY_FAILED", new TextDecoder().decode(stderr).trim());
}
