/** Rate limits under load and over HTTP, with real connections and real tokens. */
import assert from "node:assert/strict";
import postgres from "postgres";
import {
  callFunction,
  claimsOf,
  connect,
  createOrganization,
  join,
  ok,
  service,
  signUp,
  superuserUrl,
} from "../support.ts";
import { forget, headers } from "./buckets.ts";

async function ask(token: string | null, forwarded = "192.0.2.1"): Promise<Response> {
  return await callFunction("rbac", {
    token,
    headers: { ...headers, "x-forwarded-for": forwarded },
    body: { permissions: ["audit:read"] },
  });
}

/** Sets the numbers of a rule. */
async function refill(rule: string, capacity: number, window_seconds: number): Promise<void> {
  const { error } = await service().rpc("set_rate_limit", { rule, capacity, window_seconds });
  assert.equal(error, null);
}

Deno.test("RATE-E01: 32 concurrent calls get no more from one bucket than capacity and refill", async () => {
  const clients = 32;
  const sql = connect(clients);
  try {
    await sql`
      insert into bulwark.rate_limit_rules values
        ('race', 200, 10, 'caller', 'closed', null, 'For this test')
    `;
    const user = crypto.randomUUID();
    await Promise.all(Array.from({ length: clients }, () => sql`select pg_sleep(0.1)`));
    const start = performance.now();
    const admitted = await Promise.all(Array.from({ length: clients }, async () => {
      let count = 0;
      for (let call = 0; call < 25; call++) {
        const [row] = await sql`select allowed from bulwark.check_rate_limit('race', ${user})`;
        if (row?.allowed) count++;
      }
      return count;
    }));
    const seconds = (performance.now() - start) / 1000;
    const total = admitted.reduce((sum, count) => sum + count, 0);
    assert.ok(total >= 200, `only ${total} were admitted`);
    assert.ok(total <= 200 + Math.ceil(seconds * 20), `${total} were admitted in ${seconds} s`);
  } finally {
    await sql.end();
  }
});

Deno.test("RATE-E02: concurrent calls on two buckets, in any order, never deadlock", async () => {
  const sql = connect(32);
  try {
    const calls = Array.from({ length: 600 }, (_, n) => ({
      address: `198.51.100.${n % 4}`,
      account: `account-${Math.floor(n / 4) % 4}@race.test`,
    })).sort(() => Math.random() - 0.5);
    const rows = await Promise.all(
      calls.map(({ address, account }) =>
        sql`select allowed from bulwark.check_rate_limit(
          'auth_login', address => ${address}, account => ${account})`
      ),
    );
    const admitted = rows.filter(([row]) => row?.allowed).length;
    // Four accounts and four addresses with five tokens each; a call takes one of both.
    assert.ok(admitted <= 20 && admitted > 0, String(admitted));
  } finally {
    await sql.end();
    await forget();
  }
});

Deno.test("SEC-E01: one event raised on 32 connections is one event, and none waits", async () => {
  const sql = connect(32);
  try {
    const subjects = ["one", "two", "three", "four"];
    await Promise.all(Array.from({ length: 32 }, async (_, client) => {
      await sql.begin(async (transaction) => {
        // Each in another order, in one transaction.
        for (let n = 0; n < subjects.length; n++) {
          const subject = subjects[(n + client) % 4] ?? "";
          await transaction`
            select bulwark.raise_security_event('brute_force', null, null, ${`race ${subject}`})
          `;
          await transaction`select pg_sleep(0.01)`;
        }
      });
    }));
    await sql`select bulwark_private.count_deferred_security_events()`;
    const events = await sql`
      select subject, occurrences::integer from bulwark.security_events where subject like 'race %'
    `;
    assert.deepEqual(
      events.map(({ subject, occurrences }) => [subject, occurrences]).sort(),
      subjects.map((subject) => [`race ${subject}`, 32]).sort(),
    );
  } finally {
    await sql.end();
  }
});

Deno.test("SEC-E02: what was resolved stays resolved until something new happens", async () => {
  const sql = connect(1);
  try {
    const fail = () => sql`select bulwark.finish_login('resolved@x.test', '198.51.100.77')`;
    const open = async () =>
      (await sql`
        select id from bulwark.security_events
        where event_type = 'brute_force' and details ->> 'rule' = 'account_brute_force'
          and resolved_at is null
      `).map(({ id }) => id);
    for (let n = 0; n < 10; n++) await fail();
    await sql`select bulwark.evaluate_security_rules()`;
    const [event] = await open();
    assert.ok(event);
    await sql`select bulwark.evaluate_security_rules()`;
    await sql`select bulwark.resolve_security_event(${event}, 'a test')`;
    await sql`select bulwark.evaluate_security_rules()`;
    assert.deepEqual(await open(), []);
    await fail();
    await sql`select bulwark.evaluate_security_rules()`;
    assert.equal((await open()).length, 1);
  } finally {
    await sql.end();
  }
});

Deno.test("RATE-E03: a function returns the remaining tokens, and refuses beyond the limit", async () => {
  await forget();
  // Refills so slowly that a busy machine sees a refusal too.
  await refill("api_default", 60, 3600);
  const { token } = await signUp("limited");
  const first = await ask(token);
  await first.body?.cancel();
  assert.equal(first.status, 200);
  assert.equal(first.headers.get("ratelimit-policy"), '"api_default";q=60;w=3600');
  assert.equal(first.headers.get("ratelimit"), '"api_default";r=59;t=60');
  assert.equal(first.headers.get("x-ratelimit-limit"), "60");
  assert.match(first.headers.get("access-control-expose-headers") ?? "", /RateLimit-Policy/);
  // In sequence: on a busy machine concurrent calls could time out and fail open.
  const answers: Response[] = [];
  while (answers.length < 75) {
    answers.push(...await Promise.all(Array.from({ length: 5 }, () => ask(token))));
  }
  const refused = answers.filter(({ status }) => status === 429);
  assert.ok(refused.length > 0, answers.map(({ status }) => status).join(" "));
  const [sample] = refused;
  assert.ok(sample);
  assert.equal(sample.headers.get("content-type"), "application/problem+json");
  const wait = Number(sample.headers.get("retry-after"));
  assert.ok(wait >= 1);
  const body = await sample.json();
  assert.equal(body.status, 429);
  assert.match(body.type, /#(quota-exceeded|abnormal-usage-detected)$/);
  assert.deepEqual(body["violated-policies"], ["api_default"]);
  assert.match(body.code, /^RATE_LIMIT_(EXCEEDED|BLOCKED)$/);
  assert.match(body.correlation_id, /^[\w-]{36}$/);
  await Promise.all(answers.filter((answer) => answer !== sample).map((a) => a.body?.cancel()));
  await refill("api_default", 60, 60);
});

Deno.test("RATE-E04: neither a forged address nor a forged user gets a fresh bucket", async () => {
  await forget();
  const admin = await signUp("forger");
  const [head, payload = "", signature] = admin.token.split(".");
  const claims = JSON.parse(atob(payload.replaceAll("-", "+").replaceAll("_", "/")));
  const forged = () => {
    const made = btoa(JSON.stringify({ ...claims, sub: crypto.randomUUID() }))
      .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
    return `${head}.${made}.${signature}`;
  };
  const left: number[] = [];
  for (
    const [token, address] of [
      [null, "192.0.2.1"],
      [null, "192.0.2.2"],
      [null, ""],
      [null, "junk"],
      [null, "198.51.100.1, ".repeat(700)],
      [forged(), "192.0.2.3"],
      [forged(), "192.0.2.4"],
    ] as const
  ) {
    const answer = await ask(token, address);
    await answer.body?.cancel();
    assert.equal(answer.status, 401);
    left.push(Number(answer.headers.get("x-ratelimit-remaining")));
  }
  assert.ok(left.every((value, index) => index === 0 || value <= (left[index - 1] ?? 0)));
  assert.ok((left.at(-1) ?? 60) <= 59 - 3, left.join(" "));
  await forget();
});

Deno.test("RATE-E07: repeated refusals for missing permissions raise a security event", async () => {
  const admin = await signUp("owner");
  const organization = await createOrganization(admin);
  const prober = await signUp("prober");
  await join(admin, organization, prober, "viewer");
  for (let n = 0; n < 20; n++) {
    const query = new URLSearchParams({ permission: "audit:read", organization_id: organization });
    const answer = await callFunction(`rbac?${query}`, { token: prober.token, headers });
    await answer.body?.cancel();
    assert.equal(answer.status, 403);
  }
  const sql = connect(1);
  await sql`select bulwark.evaluate_security_rules()`;
  await sql.end();
  const events = ok(
    await admin.client.rpc("list_security_events", { organization_id: organization }),
  );
  assert.deepEqual(
    events.map(({ event_type, user_id }) => [event_type, user_id]),
    [["permission_probing", prober.id]],
  );
});

Deno.test("RATE-E09: every function is limited and sends the headers", async () => {
  await forget();
  const { token } = await signUp("visitor");
  const requests: Record<string, [method: string, path: string]> = {
    "api-keys": ["POST", "/token"],
    audit: ["GET", "/checkpoint"],
    compliance: ["GET", "/report"],
    encryption: ["POST", "/find"],
    login: ["POST", ""],
    metrics: ["GET", ""],
    mfa: ["POST", "/verify"],
    rbac: ["GET", "?permission=audit:read"],
    webhooks: ["POST", "/endpoints"],
  };
  const folders = new URL("../../supabase/functions/", import.meta.url);
  const functions = [...Deno.readDirSync(folders)].map(({ name }) => name.replace("bulwark-", ""))
    .filter((name) => name !== "_bulwark").sort();
  assert.deepEqual(functions, Object.keys(requests));
  for (const [name, [method, path]] of Object.entries(requests)) {
    const answer = await callFunction(`${name}${path}`, {
      method,
      token,
      headers: { ...headers, "x-api-key": "none" },
      body: method === "POST" ? { email: "nobody@people.test", password: "wrong" } : undefined,
    });
    await answer.body?.cancel();
    assert.match(answer.headers.get("ratelimit-policy") ?? "", /;q=\d+;w=\d+$/, name);
  }
  const report = await callFunction("api-keys/report", { headers, body: "[]" });
  await report.body?.cancel();
  assert.match(report.headers.get("ratelimit-policy") ?? "", /api_default/);
  await forget();
});

Deno.test("RATE-E10: identifiers that never return do not make the table grow", async () => {
  const sql = connect(1);
  const identifiers = 100_000;
  const fill = async () => {
    await sql`
      select count(c.admitted)
      from bulwark.rate_limit_rules r, generate_series(1, ${identifiers / 1000}::integer) g,
        lateral (
          select array_agg(gen_random_uuid()) as ids from generate_series(1, 1000) n where g > 0
        ) batch,
        lateral bulwark_private.charge_buckets(batch.ids, row(
          r.scope, 1, r.capacity, r.window_seconds, r.when_store_fails
        )::bulwark_private.rate_limit_terms) c
      where r.name = 'api_default'
    `;
    const [row] = await sql`
      select pg_total_relation_size('bulwark_private.rate_limits')::float8 as bytes
    `;
    return Number(row?.bytes);
  };
  const keep = (minutes: number, buckets: number) =>
    sql`
      update bulwark.settings set value = (case name
        when 'rate_limits.keep_minutes' then ${minutes}::integer else ${buckets}::integer
      end)::text::jsonb
      where name in ('rate_limits.keep_minutes', 'rate_limits.maximum_buckets')
    `;
  try {
    await forget();
    // Full at once, and more than may be kept for an hour.
    await keep(60, identifiers / 2);
    const sizes: number[] = [];
    for (let generation = 0; generation < 6; generation++) {
      sizes.push(await fill());
      const [cleaned] = await sql`select bulwark.cleanup_old_rate_limits()::integer as buckets`;
      assert.ok((cleaned?.buckets ?? 0) >= identifiers * 0.99, JSON.stringify(cleaned));
      await sql`vacuum bulwark_private.rate_limits`;
    }
    // Without cleanup it would be six times the first. Open transactions delay the reuse of space.
    const [first = 0, last = Infinity] = [sizes[0], sizes.at(-1)];
    assert.ok(last < first * 3, sizes.join(" "));
  } finally {
    await keep(60, 1_000_000);
    await sql.end();
    await forget();
  }
});

Deno.test("RATE-E08: the hook as PostgREST calls it, as authenticator, in both kinds of transactions", async () => {
  await forget();
  const person = await signUp("poster");
  const sql = postgres(superuserUrl.replace("supabase_admin:", "authenticator:"), { max: 4 });
  const claims = JSON.stringify(claimsOf(person));
  const request = (mode: "read only" | "read write", fails = false) =>
    sql.begin(mode, async (transaction) => {
      await transaction`select
        set_config('request.jwt.claims', ${claims}, true),
        set_config('request.headers', '{"x-forwarded-for": "1.1.1.1, 203.0.113.5"}', true),
        set_config('request.path', '/reports', true),
        set_config('role', 'authenticated', true)`;
      await transaction`select bulwark.check_request()`;
      if (fails) await transaction`select 1 / 0`;
      const [row] = await transaction`select current_setting('response.headers', true) as headers`;
      return row?.headers as string | null;
    });
  const code = (thrown: { code?: string; message: string }) => {
    assert.equal(thrown.code, "PGRST");
    return JSON.parse(thrown.message).details as string;
  };
  try {
    assert.ok(!await request("read only"), "a read is not charged");
    assert.match(await request("read write") ?? "", /"X-RateLimit-Remaining": "59"/);
    await assert.rejects(request("read write", true), { code: "22012" });
    assert.match(await request("read write") ?? "", /"X-RateLimit-Remaining": "58"/);
    // A caller's slow request holds the bucket; their other requests are refused.
    await sql.begin(async (slow) => {
      await slow`select
        set_config('request.jwt.claims', ${claims}, true),
        set_config('role', 'authenticated', true)`;
      await slow`select bulwark.check_request()`;
      const beside = await Promise.all(
        [1, 2, 3].map(() => request("read write").then(() => "", code)),
      );
      assert.deepEqual(beside, Array(3).fill("RATE_LIMIT_EXCEEDED"));
    });
    const many = await Promise.all(
      Array.from({ length: 80 }, () => request("read write").then(() => "", code)),
    );
    const admitted = many.filter((outcome) => outcome === "").length;
    assert.ok(admitted > 30 && admitted <= 70, String(admitted));
    assert.ok(many.every((outcome) => outcome === "" || outcome === "RATE_LIMIT_EXCEEDED"));
    const owner = connect(1);
    await owner`select bulwark.list_network('203.0.113.5', 'block', 'a test')`;
    assert.equal(await request("read only").then(() => "", code), "RATE_LIMIT_BLOCKED");
    assert.equal(await request("read write").then(() => "", code), "RATE_LIMIT_BLOCKED");
    await owner`select bulwark.unlist_network('203.0.113.5')`;
    assert.ok(!await request("read only"));
    // The documented statement installs it and keeps the host's own hook.
    await owner`create function public.hook_of_the_host() returns void language sql as 'select'`;
    await owner`alter role authenticator set pgrst.db_pre_request = 'public.hook_of_the_host'`;
    for (const _ of ["first", "again"]) {
      const [kept] = await owner`select bulwark.install_request_hook() as hook`;
      assert.equal(kept?.hook, "public.hook_of_the_host");
    }
    await owner`
      update bulwark.settings set value = 'null' where name = 'rate_limits.next_request_check'
    `;
    await owner`drop function public.hook_of_the_host()`;
    await owner.end();
    const installed = postgres(superuserUrl.replace("supabase_admin:", "authenticator:"));
    const [setting] = await installed`select current_setting('pgrst.db_pre_request') as hook`;
    assert.equal(setting?.hook, "bulwark.check_request");
    await installed.end();
  } finally {
    await sql.end();
    await forget();
  }
});
