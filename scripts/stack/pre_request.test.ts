import assert from "node:assert/strict";
import { withPreparedStack } from "../testing/scratch_stack.ts";
import { connect } from "./connection.ts";
import { stackPaths } from "./paths.ts";
import { loadSecrets } from "./secrets.ts";

Deno.test("requests run as PostgREST runs them: settings, read-only transactions, hook, headers", () =>
  withPreparedStack(async ({ folder, start }) => {
    const program = start();
    const state = await program.ready();
    assert.ok(state, await program.output());
    const { databasePassword, publishableKey } = await loadSecrets(stackPaths(folder).secrets);
    const sql = connect(
      `postgresql://postgres:${databasePassword}@127.0.0.1:${state.databasePort}/postgres`,
    );
    const ask = async (
      method: string,
      path: string,
      headers: Record<string, string> = {},
      parameters = {},
    ) => {
      const answer = await fetch(`${state.url}/rest/v1${path}`, {
        method,
        headers: { apikey: publishableKey, "content-type": "application/json", ...headers },
        ...method === "POST" ? { body: JSON.stringify(parameters) } : {},
      });
      return { status: answer.status, headers: answer.headers, body: await answer.json() };
    };
    const answers = async (check: () => Promise<boolean>) => {
      for (let attempt = 0; !await check(); attempt++) {
        assert.ok(attempt < 100, "the notification was not heard");
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    try {
      await sql.unsafe(`
        create table public.visits (path text);
        grant insert on public.visits to anon;
        create function public.about() returns json language sql stable as $$
          select json_build_object(
            'method', current_setting('request.method'), 'path', current_setting('request.path'),
            'header', current_setting('request.headers')::json ->> 'x-probe',
            'read_only', current_setting('transaction_read_only'), 'role', current_user)
        $$;
        create function public.visit() returns json language plpgsql volatile as $$
        begin
          perform set_config('response.headers', '[{"X-Visit": "one"}, {"X-More": "two"}]', true);
          insert into public.visits values (current_setting('request.path'));
          return json_build_object('read_only', current_setting('transaction_read_only'));
        end $$;
        create function public.misanswer(headers text) returns json language plpgsql as $$
        begin
          insert into public.visits values ('a write that is taken back');
          perform set_config('response.headers', headers, true);
          return 'null';
        end $$;
        create function public.announce() returns void language plpgsql as $$
        begin
          perform set_config('response.headers', '[{"X-Hook": "was here"}]', true);
          if current_setting('request.headers')::json ->> 'x-probe' = 'refuse' then
            raise exception 'No' using errcode = 'PT402';
          end if;
        end $$;
        grant execute on function public.about(), public.visit(), public.misanswer(text), public.announce()
          to anon;
      `);
      await answers(async () => (await ask("GET", "/rpc/about")).status === 200);
      for (const method of ["GET", "POST"]) {
        const { body } = await ask(method, "/rpc/about?", { "x-probe": "a value" });
        const path = "/rpc/about";
        const expected = { method, path, header: "a value", read_only: "on", role: "anon" };
        assert.deepEqual(body, expected, "a stable function writes nothing, however it is called");
      }
      const visit = await ask("POST", "/rpc/visit");
      assert.deepEqual([visit.status, visit.body], [200, { read_only: "off" }]);
      assert.deepEqual([visit.headers.get("x-visit"), visit.headers.get("x-more")], ["one", "two"]);
      assert.equal((await ask("GET", "/rpc/visit")).status, 405, "GET writes nothing");

      const cookies = '[{"Set-Cookie": "a=1"}, {"Set-Cookie": "b=2"}]';
      const answer = await ask("POST", "/rpc/misanswer", {}, { headers: cookies });
      assert.deepEqual(answer.headers.getSetCookie(), ["a=1", "b=2"]);
      await sql`delete from visits where path = 'a write that is taken back'`;
      const wrong = [
        "junk",
        "{}",
        "[null]",
        '[{"a b": "c"}]',
        '[{"a": "b\\nc"}]',
        '[{"a": "1", "b": "2"}]',
      ];
      for (const headers of wrong) {
        const { status, body } = await ask("POST", "/rpc/misanswer", {}, { headers });
        assert.deepEqual([status, body.code], [500, "PGRST111"], headers);
      }

      await sql`alter role authenticator set pgrst.db_pre_request = 'public.announce'`;
      await sql`notify pgrst, 'reload config'`;
      const hooked = async () => (await ask("GET", "/rpc/about")).headers.get("x-hook");
      await answers(async () => await hooked() === "was here");
      assert.equal((await ask("GET", "/rpc/about", { "x-probe": "refuse" })).status, 402);
      await sql`alter role authenticator reset pgrst.db_pre_request`;
      await sql`notify pgrst, 'reload config'`;
      await answers(async () => await hooked() === null);
      assert.deepEqual([...await sql`select path from visits`], [{ path: "/rpc/visit" }]);

      const status = async (table: string) => (await ask("GET", `/${table}`)).status;
      await sql`create table public.notes (text text)`;
      await answers(async () => await status("notes") === 200);
      await sql`alter table public.notes rename to remarks`;
      await answers(async () => await status("remarks") === 200);
      await sql`drop table public.remarks`;
      await answers(async () => await status("remarks") === 404);
    } finally {
      await sql.end();
    }
  }));
