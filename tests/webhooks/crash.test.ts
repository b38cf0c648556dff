/**
 * The database crashes while events happen, sealers seal and workers deliver. Uses its own cluster, since the
 * stack's Data API does not survive a crash of its database.
 */
import assert from "node:assert/strict";
import {
  databaseQueue,
  makeEndpoint,
  memoryKeys,
} from "../../scripts/bench/webhooks/database_queue.ts";
import { embeddedPostgres } from "../../scripts/stack/binaries.ts";
import { connect, type Sql } from "../../scripts/stack/connection.ts";
import { startInstalledCluster } from "../../scripts/testing/prepared_clusters.ts";
import { attempt } from "../../supabase/functions/_bulwark/webhooks/attempt.ts";
import { dialer } from "../../supabase/functions/_bulwark/webhooks/connection.ts";
import { openPool } from "../../supabase/functions/_bulwark/webhooks/pool.ts";
import { systemResolve } from "../../supabase/functions/_bulwark/webhooks/lookups.ts";
import { openEndpoint } from "../../supabase/functions/_bulwark/webhooks/sealing.ts";
import { timeouts } from "../../supabase/functions/_bulwark/webhooks/send.ts";
import { defaultLimits, run } from "../../supabase/functions/_bulwark/webhooks/worker.ts";
import { receive } from "./support.ts";

Deno.test("WHK-W03: the database crashes under load: nothing is lost and no attempt is doubled", async () => {
  const scratch = await startInstalledCluster("webhooks", embeddedPostgres(), {
    // An acknowledged event must survive.
    synchronous_commit: "on",
  });
  const url = scratch.cluster.url("postgres", scratch.password);
  /** Uses its own connection, since a broken one may never answer. */
  const withConnection = async <T>(task: (sql: Sql) => Promise<T>): Promise<T> => {
    const sql = connect(url);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error("the database does not answer")), 10_000);
    });
    try {
      return await Promise.race([task(sql), late]);
    } finally {
      clearTimeout(timer);
      await sql.end({ timeout: 0 }).catch(() => {});
    }
  };
  const policy = { allowLoopback: true };
  const keys = memoryKeys(`test:${btoa(String.fromCharCode(...new Uint8Array(32).fill(7)))}`);
  await using receiver = receive();
  let finished = false;
  // The driver does not report errors of a connection that breaks, or is refused by a starting
  // database, while it is opened.
  const broken = /ECONNRESET|EPIPE|CONNECTION_|socket has been ended|database system is/;
  const overlook = (event: PromiseRejectionEvent) => {
    if (broken.test(String(event.reason))) {
      event.preventDefault();
    }
  };
  globalThis.addEventListener("unhandledrejection", overlook);
  try {
    const { organization, target } = await withConnection(async (sql) => {
      const [made] = await sql`
        insert into bulwark.organizations (id, name, slug)
        values (gen_random_uuid(), 'Crash', 'crash-test') returning id
      `;
      const organization = made?.["id"] as string;
      const patterns = ["audit.data.read"];
      const target = await makeEndpoint(sql, keys, organization, receiver.url, patterns);
      return { organization, target };
    });

    const pause = (milliseconds: number) =>
      new Promise<void>((resolve) => setTimeout(resolve, milliseconds));
    const working = [0, 1, 2, 3].map(async (index) => {
      const pool = openPool();
      const network = { ...timeouts, resolve: systemResolve, dial: dialer(), pool, policy };
      while (!finished) {
        await withConnection((sql) =>
          run({
            queue: databaseQueue(sql),
            open: (endpoint) => openEndpoint(keys, endpoint, policy),
            attempt: (delivery, endpoint, timing) =>
              attempt(delivery, endpoint, { ...network, ...timing }, "bulwark.test"),
          }, { ...defaultLimits, worker: `crash-${index}`, lease: 21, batch: 10, wait: 300 })
        ).catch(() => pause(100));
      }
      pool.close();
    });

    // Two sealers at once: each entry is sealed, and so queued, by one of them.
    const sealing = [0, 1].map(async () => {
      while (!finished) {
        await withConnection((sql) => sql`select bulwark.seal_audit_log()`).catch(() => {});
        await pause(30);
      }
    });

    const acknowledged: string[] = [];
    const cause = async (count: number) => {
      while (count > 0) {
        await withConnection(async (sql) => {
          while (count > 0) {
            const [row] = await sql`
              select bulwark.log_audit_event('data.read', 'look', ${organization}) as id
            `;
            acknowledged.push(row?.["id"]);
            count--;
          }
        }).catch(() => pause(50));
      }
    };
    for (let crash = 0; crash < 3; crash++) {
      const causing = cause(150);
      await receiver.until(({ length }) => length > crash * 100 + 20);
      // Postgres restarts as a whole when one of its processes dies.
      for (let killed = false; !killed;) {
        killed = await withConnection(async (sql) => {
          const [row] = await sql`select pg_backend_pid() as pid`;
          Deno.kill(row?.["pid"], "SIGKILL");
          return true;
        }).catch(() => false);
      }
      await causing;
    }
    const ledger = () =>
      withConnection((sql) =>
        sql<{ id: string; event_id: string; status: string; attempts: number; logged: number }[]>`
          select d.id, d.event_id, d.status::text, d.attempts::int,
            count(distinct a.number)::int as logged
          from bulwark.webhook_deliveries d
          left join bulwark.webhook_attempts a on a.delivery_id = d.id
          where d.endpoint_id = ${target.id}
          group by d.id
        `
      ).catch(() => []);
    await receiver.until(() => new Set(receiver.received.map(({ id }) => id)).size >= 450);
    let rows = await ledger();
    while (rows.length === 0 || rows.some(({ status }) => status !== "delivered")) {
      await pause(200);
      rows = await ledger();
    }
    finished = true;
    await Promise.all([...working, ...sealing]);

    const told = new Set(rows.map(({ event_id }) => event_id));
    assert.ok(acknowledged.every((id) => told.has(id)), "no acknowledged event is lost");
    assert.equal(told.size, rows.length, "and none is queued twice");
    for (const { id, attempts, logged } of rows) {
      const requests = receiver.received.filter((got) => got.id === id).length;
      assert.ok(
        requests >= 1 && requests <= attempts,
        `${requests} requests, ${attempts} attempts`,
      );
      assert.equal(logged, attempts, "each attempt is in the log once");
    }
  } finally {
    finished = true;
    await scratch.stop();
    globalThis.removeEventListener("unhandledrejection", overlook);
  }
});
