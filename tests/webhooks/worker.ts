/** A worker in its own process, to be killed: delivers one delivery, or all that are due. */
import { work } from "./support.ts";

const [worker = "process", only, lease = "5"] = Deno.args;
await work(worker, {
  lease: Number(lease),
  attemptTimeoutMs: 2000,
  ...(only ? { only } : { wait: 60_000, interval: 20 }),
});
