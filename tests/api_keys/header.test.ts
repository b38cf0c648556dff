/**
 * A key in the header x-api-key, on a connection as authenticator: the transaction that PostgREST
 * runs for a request, with its pre-request hook, and its traces.
 */
import assert from "node:assert/strict";
import postgres from "postgres";
import { hashOf } from "../../supabase/functions/_bulwark/api_keys/format.ts";
import { issueKey } from "./support.ts";
import {
  authenticatorUrl,
  claimsOf,
  connect,
  createOrganization,
  ok,
  type Person,
  signUp,
  superuserUrl,
} from "../support.ts";

interface Answer {
  rows: postgres.Row[];
  user: string;
}

/** Runs a request as PostgREST does: GUCs and role, the hook, the statement, in one transaction. */
async function request(
  sql: postgres.Sql,
  { headers, method = "POST", role = "anon" }: {
    headers: Record<string, string>;
    method?: string;
    role?: string;
  },
  statement: string,
): Promise<Answer> {
  return await sql.begin(method === "GET" ? "read only" : "", async (transaction) => {
    await transaction`
      select
        set_config('role', ${role}, true),
        set_config('request.jwt.claims', ${JSON.stringify({ role })}, true),
        set_config('request.headers', ${JSON.stringify(headers)}, true),
        set_config('request.method', ${method}, true),
        set_config('request.path', '/reports', true)
    `;
    await transaction`select bulwark.check_request()`;
    const [session] = await transaction`select current_user::text as user`;
    return { rows: [...await transaction.unsafe(statement)], user: session?.user };
  }) as Answer;
}

const reading = "select title from public.reports order by id";
const writing = (organization: string, title: string) =>
  `insert into public.reports (organization_id, title) values ('${organization}', '${title}')
   returning title`;

async function prepare() {
  const owner = await signUp("owner");
  const [acme, globex] = [await createOrganization(owner), await createOrganization(owner)];
  const key = await issueKey(owner, acme);
  const sql = postgres(authenticatorUrl, { max: 1, onnotice: () => {} });
  return { owner, acme, globex, key, sql, headers: { "x-api-key": key.api_key } };
}

/** The SQLSTATE and code of a refusal. */
async function refusal(answer: Promise<Answer>): Promise<unknown> {
  try {
    await answer;
  } catch (thrown) {
    const { code, detail } = thrown as postgres.PostgresError;
    return [code, /^[A-Z_]+$/.test(detail ?? "") ? detail : null];
  }
  return "not refused";
}

Deno.test("KEY-E30: a request with a key runs as api_key, in its organization alone", async () => {
  const { owner, acme, globex, key, sql, headers } = await prepare();
  try {
    const written = await request(sql, { headers }, writing(acme, "by header"));
    assert.deepEqual(written, { rows: [{ title: "by header" }], user: "api_key" });
    const { rows, user } = await request(sql, { headers, method: "GET" }, reading);
    assert.deepEqual([rows.map(({ title }) => title), user], [["by header"], "api_key"]);
    assert.deepEqual(
      await refusal(request(sql, { headers }, writing(globex, "no"))),
      ["42501", null],
    );
    const [entry] = ok(
      await owner.client.from("audit_logs").select("actor_type, actor_id")
        .eq("resource_type", "public.reports").contains("after", { title: "by header" }),
    );
    assert.deepEqual(entry, { actor_type: "api_key", actor_id: key.id });
  } finally {
    await sql.end();
  }
});

Deno.test("KEY-E31: nothing of it is left on the connection for the next request", async () => {
  const { sql, headers } = await prepare();
  try {
    await request(sql, { headers }, reading);
    const [after] = await sql`
      select current_user::text as user, current_setting('role') as role,
        current_setting('request.headers', true) as headers,
        current_setting('request.jwt.claims', true) as claims
    `;
    assert.deepEqual(after, { user: "authenticator", role: "none", headers: "", claims: "" });
    const { rows, user } = await request(sql, { headers: {} }, reading);
    assert.deepEqual([rows, user], [[], "anon"], "the next one is nobody's");
  } finally {
    await sql.end();
  }
});

Deno.test("KEY-E32: a refused key leaves the request nobody's right to go on", async () => {
  const { owner, key, sql, headers } = await prepare();
  try {
    const wrong = { "x-api-key": `${key.api_key.slice(0, -1)}_` };
    for (const method of ["GET", "POST"]) {
      assert.deepEqual(
        await refusal(request(sql, { headers: wrong, method }, reading)),
        ["PT401", "API_KEY_INVALID"],
      );
    }
    ok(await owner.client.rpc("revoke_api_key", { key_id: key.id, because: "a test" }));
    assert.deepEqual(
      await refusal(request(sql, { headers }, reading)),
      ["PT401", "API_KEY_INVALID"],
      "revoked: the very next request",
    );
  } finally {
    await sql.end();
  }
});

Deno.test("KEY-E33: the key is not among the headers that the request's statements see", async () => {
  const { sql, headers } = await prepare();
  try {
    const { rows } = await request(
      sql,
      { headers: { ...headers, "user-agent": "a script" } },
      "select current_setting('request.headers')::jsonb as headers",
    );
    assert.deepEqual(rows[0]?.headers, { "user-agent": "a script" });
  } finally {
    await sql.end();
  }
});

Deno.test("KEY-E34: no statement, log, entry or event holds a key, refused or not", async () => {
  const { owner, acme, key, sql, headers } = await prepare();
  const admin = connect(1);
  const superuser = postgres(superuserUrl, { max: 1 });
  try {
    const rotated = ok(await owner.client.rpc("rotate_api_key", { key_id: key.id }));
    await request(sql, { headers }, writing(acme, "by header"));
    await refusal(request(sql, { headers: { "x-api-key": `${key.api_key}x` } }, reading));
    await refusal(request(sql, { headers }, writing(crypto.randomUUID(), "no")));
    const [server] = await superuser`
      select pg_read_file(current_setting('data_directory') || '/../postgres.log') as log
    `;
    assert.match(server?.log, /Cannot authenticate/, "refusals are logged here");
    for (const { api_key } of [key, rotated]) {
      assert.ok(!server?.log.includes(api_key?.slice(14, 44)), "but no key is");
      const secret = `%${api_key?.slice(14, 44)}%`;
      const found = await admin`
        select 'statements' as place from extensions.pg_stat_statements where query like ${secret}
        union all
        select 'activity' from pg_stat_activity where query like ${secret}
        union all
        select 'audit log' from bulwark.audit_logs e where to_jsonb(e)::text like ${secret}
        union all
        select 'events' from bulwark.security_events e where to_jsonb(e)::text like ${secret}
      `;
      assert.deepEqual(found.map(({ place }) => place), []);
    }
    const [tracked] = await admin`
      select count(*)::integer as statements from extensions.pg_stat_statements
      where query like '%check_request%'
    `;
    assert.ok(tracked?.statements > 0, "statements are tracked here");
  } finally {
    await Promise.all([sql.end(), admin.end(), superuser.end()]);
  }
});

/**
 * The server's log while connections of authenticator with these settings are used. Parameters are
 * logged as the migrations left it, unless set.
 */
async function logged(
  settings: Record<string, string>,
  act: (sql: postgres.Sql) => unknown,
): Promise<string> {
  const superuser = postgres(superuserUrl, { max: 1, onnotice: () => {} });
  const read = async () => {
    const [server] = await superuser`
      select pg_read_file(current_setting('data_directory') || '/../postgres.log') as log
    `;
    return String(server?.log);
  };
  try {
    const before = (await read()).length;
    for (const [name, value] of Object.entries(settings)) {
      await superuser.unsafe(`alter role authenticator set ${name} = '${value}'`);
    }
    const sql = postgres(authenticatorUrl, { max: 1, onnotice: () => {} });
    try {
      await act(sql);
    } finally {
      await sql.end();
      for (const name of Object.keys(settings)) {
        await superuser.unsafe(
          name === "log_parameter_max_length"
            ? `alter role authenticator set ${name} = 0`
            : `alter role authenticator reset ${name}`,
        );
      }
    }
    return (await read()).slice(before);
  } finally {
    await superuser.end();
  }
}

const loud = { log_statement: "all", log_min_duration_statement: "0" };
const secretOf = (api_key: unknown) => String(api_key).slice(14, 44);

/**
 * Calls of an owner and of the function about keys, on a connection as authenticator. Returns the
 * issued keys.
 */
async function issueAndExchange(sql: postgres.Sql, owner: Person, organization: string) {
  const issued: string[] = [];
  const as = (role: string, act: (transaction: postgres.TransactionSql) => Promise<unknown>) =>
    sql.begin(async (transaction) => {
      const claims = JSON.stringify({ ...claimsOf(owner), role });
      await transaction`
        select set_config('role', ${role}, true), set_config('request.jwt.claims', ${claims}, true)
      `;
      await act(transaction);
    });
  await as("authenticated", async (transaction) => {
    const scopes = "{analytics:read}";
    const [made] = await transaction`
      select * from bulwark.create_api_key(${organization}, 'x', ${scopes})
    `;
    const [next] = await transaction`select * from bulwark.rotate_api_key(${made?.id})`;
    issued.push(made?.api_key, next?.api_key);
  });
  await as("service_role", async (transaction) => {
    const hashes = issued.map((api_key) => hashOf(api_key));
    await transaction`select * from bulwark.exchange_api_key(${hashes[0] ?? ""})`;
    const reports = JSON.stringify(hashes.map((key_hash) => ({ key_hash })));
    await transaction`select bulwark.report_leaked_api_keys(${reports}::text::jsonb)`;
  });
  return issued;
}

Deno.test("KEY-E35: with every statement logged, no key is in the log", async () => {
  const { owner, acme, key, sql: unused } = await prepare();
  await unused.end();
  const issued = [key.api_key];
  const log = await logged(loud, async (sql) => {
    issued.push(...await issueAndExchange(sql, owner, acme));
    await request(sql, { headers: { "x-api-key": key.api_key } }, writing(acme, "by header"));
    for (const api_key of [`${key.api_key}x`, `${key.api_key}\0`]) {
      await refusal(request(sql, { headers: { "x-api-key": api_key } }, reading));
    }
  });
  assert.match(log, /exchange_api_key/, "what is asked is logged");
  assert.match(log, /check_request/, "and what the Data API asks");
  for (const api_key of issued) assert.ok(!log.includes(secretOf(api_key)), "but no key is");
});

/** Logs statements with their plans, also those inside functions. */
const plans = {
  session_preload_libraries: "auto_explain",
  "auto_explain.log_min_duration": "0",
  "auto_explain.log_nested_statements": "on",
  "auto_explain.log_parameter_max_length": "0",
};

Deno.test("KEY-E37: with every plan logged, no key that is issued is in the log", async () => {
  const { owner, acme, sql: unused } = await prepare();
  await unused.end();
  let issued: string[] = [];
  const log = await logged({ ...plans, "auto_explain.log_verbose": "on" }, async (sql) => {
    issued = await issueAndExchange(sql, owner, acme);
  });
  assert.match(log, /Insert on bulwark_private\.api_key_hashes/, "plans are logged");
  for (const api_key of issued) assert.ok(!log.includes(secretOf(api_key)), "but no key is");
});

Deno.test("KEY-E38: a header is open where plans show no values, and closed where they do", async () => {
  const { acme, key, sql: unused } = await prepare();
  await unused.end();
  const ask = (sql: postgres.Sql) =>
    refusal(request(sql, { headers: { "x-api-key": key.api_key } }, writing(acme, "x")));
  let answer: unknown;
  const log = await logged(plans, async (sql) => answer = await ask(sql));
  assert.deepEqual([answer, log.includes(secretOf(key.api_key))], ["not refused", false]);
  for (
    const settings of [{ ...plans, "auto_explain.log_verbose": "on" }, { debug_print_plan: "on" }]
  ) {
    await logged(settings, async (sql) => answer = await ask(sql));
    assert.deepEqual(answer, ["PT503", "API_KEY_HEADER_CLOSED"], JSON.stringify(settings));
  }
});

Deno.test("KEY-E36: where parameters are logged every key in a header is refused, so that it is noticed", async () => {
  const { acme, key, sql: unused } = await prepare();
  await unused.end();
  const refusals: unknown[] = [];
  const log = await logged({ ...loud, log_parameter_max_length: "-1" }, async (sql) => {
    for (const api_key of [key.api_key, "wrong"]) {
      const asked = request(sql, { headers: { "x-api-key": api_key } }, writing(acme, "no"));
      refusals.push(await refusal(asked));
    }
  });
  assert.deepEqual(refusals, [
    ["PT503", "API_KEY_HEADER_CLOSED"],
    ["PT503", "API_KEY_HEADER_CLOSED"],
  ]);
  assert.ok(log.includes(secretOf(key.api_key)), "for it is in the log by then");
});

Deno.test("KEY-E39: where one of the log's settings is not for the migration, it still makes the other", async () => {
  const superuser = postgres(superuserUrl, { max: 1, onnotice: () => {} });
  const source = new URL("../../supabase/schemas/07_api_keys/04_use.sql", import.meta.url);
  const [last = ""] =
    (await Deno.readTextFile(source)).match(/\ndo \$\$(?:(?!\ndo \$\$)[\s\S])*$/) ?? [];
  try {
    await superuser`alter role postgres set session_preload_libraries = auto_explain`;
    await superuser`alter role authenticator reset log_parameter_max_length`;
    const sql = connect(1);
    try {
      await sql.unsafe(last);
    } finally {
      await sql.end();
    }
    const [made] = await superuser`
      select setconfig::text as made from pg_db_role_setting where setrole = 'authenticator'::regrole
    `;
    // auto_explain's setting has the same name with the module as prefix.
    assert.match(made?.made, /[{,"]log_parameter_max_length=0/);
  } finally {
    await superuser`alter role postgres reset session_preload_libraries`;
    await superuser`alter role authenticator set log_parameter_max_length = 0`;
    await superuser.end();
  }
});
