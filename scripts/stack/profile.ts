/** Runs a task with a folder for Chromium's profile, which is empty before and gone afterwards. */
export async function withProfile<Result>(
  task: (folder: string) => Promise<Result>,
): Promise<Result> {
  const folder = await Deno.makeTempDir({ prefix: "bulwark-chromium-" });
  try {
    return await task(folder);
  } finally {
    await removeEventually(folder);
  }
}

/** Chromium's helpers write to the profile for a moment after the browser has gone. */
async function removeEventually(folder: string): Promise<void> {
  for (let attempt = 0; attempt < 50; attempt++) {
    try {
      return await Deno.remove(folder, { recursive: true });
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

/** The arguments with which Chromium runs unseen, alone and without asking anybody anything. */
export const quietly = (profile: string): string[] => [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--disable-dev-shm-usage",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  `--user-data-dir=${profile}`,
];
