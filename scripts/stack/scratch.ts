/** A temporary folder that a database can live in. */
export interface ScratchFolder {
  path: string;
  remove(): Promise<void>;
}

/** Makes a temporary folder that other accounts may pass through but not list. */
export async function makeScratchFolder(purpose: string): Promise<ScratchFolder> {
  const path = await Deno.makeTempDir({ prefix: `bulwark-${purpose}-` });
  await Deno.chmod(path, 0o711);
  return { path, remove: () => Deno.remove(path, { recursive: true }) };
}
