import type { Sql } from "../stack/connection.ts";

/** Runs a task while the log is sealed each second. */
export async function whileSealing<T>(postgres: Sql, task: () => Promise<T>): Promise<T> {
  let done = false;
  const loop = async () => {
    while (!done) {
      await postgres`select bulwark.seal_audit_log()`;
      for (let wait = 0; wait < 10 && !done; wait++) await pause(100);
    }
  };
  const sealer = loop();
  try {
    return await task();
  } finally {
    done = true;
    await sealer;
  }
}

function pause(duration: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, duration));
}
