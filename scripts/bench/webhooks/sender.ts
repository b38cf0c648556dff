/** A thread that sends: Bulwark's worker, or the bare loop of fetch for comparison. */
/// <reference lib="deno.worker" />
import {
  attempt,
  type ClaimedDelivery,
  type OpenEndpoint,
} from "../../../supabase/functions/_bulwark/webhooks/attempt.ts";
import { dialer } from "../../../supabase/functions/_bulwark/webhooks/connection.ts";
import { openPool } from "../../../supabase/functions/_bulwark/webhooks/pool.ts";
import { systemResolve } from "../../../supabase/functions/_bulwark/webhooks/lookups.ts";
import { timeouts } from "../../../supabase/functions/_bulwark/webhooks/send.ts";
import { openSigner } from "../../../supabase/functions/_bulwark/webhooks/signing.ts";
import { defaultLimits, run } from "../../../supabase/functions/_bulwark/webhooks/worker.ts";
import { connect } from "../../stack/connection.ts";
import { databaseQueue } from "./database_queue.ts";

/** A command to the thread. */
export type Job =
  | { kind: "open"; name: string; databaseUrl: string; url: string; secret: string }
  | { kind: "deliver"; wait: number }
  | { kind: "fetch"; count: number; body: string }
  | { kind: "close" };

let sql: ReturnType<typeof connect>;
let opened: Extract<Job, { kind: "open" }>;

self.onmessage = async ({ data: job }: MessageEvent<Job>) => {
  self.postMessage(await perform(job));
};

async function perform(job: Job): Promise<number> {
  switch (job.kind) {
    case "open":
      opened = job;
      sql = connect(job.databaseUrl);
      await sql`set role service_role`;
      return 0;
    case "deliver": {
      const pool = openPool();
      const policy = { allowLoopback: true };
      const network = { ...timeouts, resolve: systemResolve, dial: dialer(), pool, policy };
      const endpoint = {
        id: "bench",
        url: new URL(opened.url),
        format: "json" as const,
        followRedirects: false,
        signers: [openSigner(opened.secret)],
      };
      const work = {
        queue: databaseQueue(sql),
        // Decrypts the endpoint before the measurement, as a run does it once.
        open: () => Promise.resolve(endpoint),
        attempt: (
          delivery: ClaimedDelivery,
          endpoint: OpenEndpoint,
          timing: { timeoutMs: number; signal: AbortSignal },
        ) => attempt(delivery, endpoint, { ...network, ...timing }, "bench"),
      };
      const until = performance.now() + job.wait;
      let delivered = 0;
      for (;;) {
        const wait = Math.max(0, until - performance.now());
        const report = await run(work, { ...defaultLimits, worker: opened.name, wait });
        delivered += report.delivered;
        // A run that reached its maximum is followed by the next.
        if (report.claimed < defaultLimits.maximum) break;
        if (job.wait > 0 && performance.now() > until) break;
      }
      pool.close();
      return delivered;
    }
    case "fetch":
      for (let index = 0; index < job.count; index++) {
        const response = await fetch(opened.url, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: job.body,
        });
        await response.text();
      }
      return job.count;
    case "close":
      await sql.end();
      self.close();
      return 0;
  }
}
