/** The timers of the local stack against the jobs that pg_cron would run. */
import assert from "node:assert/strict";
import { embeddedPostgres } from "./binaries.ts";
import { connect } from "./connection.ts";
import { inRepository } from "./paths.ts";
import { startInstalledCluster } from "../testing/prepared_clusters.ts";
import { startTimers } from "./timers.ts";

Deno.test("every job that pg_cron runs is run, with its own command or at its function", async () => {
  const server = await startInstalledCluster("timers", embeddedPostgres());
  const errors: string[] = [];
  const log = console.error;
  const called = new Set<string>();
  const functions = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) => {
      assert.equal(request.headers.get("authorization"), "Bearer the-secret");
      called.add(new URL(request.url).pathname);
      return Response.json({});
    },
  );
  try {
    const databaseUrl = server.cluster.url("postgres", server.password);
    const sql = connect(databaseUrl);
    await sql`create table public.ran (name text)`;
    // Its own command still runs, before the note of it.
    const jobs = await sql<{ name: string; function_path: string | null }[]>`
      update bulwark_private.jobs j set local_every = '1 second', command = case
        when j.function_path is null
          then format('%s; insert into public.ran values (%L)', j.command, j.name)
        else 'select 1 / 0' end
      returning j.name, j.function_path
    `;
    assert.ok(jobs.length > 10);
    // The function of webhooks is called only where a delivery waits.
    await sql`
      insert into bulwark.webhook_deliveries (
        endpoint_id, event_id, occurred_at, source, severity, event_type
      )
      values (gen_random_uuid(), gen_random_uuid(), now(), 'test', 'info', 'webhook.test')
    `;
    console.error = (line: string) => errors.push(line);
    const timers = startTimers({
      databaseUrl,
      url: `http://127.0.0.1:${functions.addr.port}`,
      schedulerSecret: "the-secret",
    });
    const missing = async () => {
      const ran = new Set((await sql`select name from public.ran`).map(({ name }) => name));
      return jobs.filter(({ name, function_path: path }) =>
        path === null ? !ran.has(name) : !called.has(`/functions/v1/${path}`)
      ).map(({ name }) => name);
    };
    let left = await missing();
    for (let waited = 0; left.length > 0 && waited < 60_000; waited += 200) {
      await new Promise((resolve) => setTimeout(resolve, 200));
      left = await missing();
    }
    await timers.stop();
    assert.deepEqual([left, errors], [[], []]);
    await sql.end();
  } finally {
    console.error = log;
    await functions.shutdown();
    await server.stop();
  }
});

Deno.test("nothing is scheduled but from the table of jobs, which the timers read too", async () => {
  let scheduled = 0;
  for await (const { name } of Deno.readDir(inRepository("supabase", "migrations"))) {
    const text = await Deno.readTextFile(inRepository("supabase", "migrations", name));
    scheduled += text.match(/\bcron\.schedule(_in_database)?\(/g)?.length ?? 0;
  }
  assert.equal(scheduled, 1, "that of bulwark.schedule_jobs");
});
