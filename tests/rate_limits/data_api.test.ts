/** The pre-request hook of the local Data API, by HTTP and supabase-js. */
import assert from "node:assert/strict";
import {
  connect,
  createOrganization,
  installHook,
  type Person,
  publishableKey,
  service,
  signUp,
  url,
} from "../support.ts";

interface Answer {
  status: number;
  headers: Headers;
  code: string | null;
}

/** A request with the Data API, of a person at an address. */
async function request(
  method: string,
  path: string,
  { token }: Person,
  { body, address = "203.0.113.5" }: { body?: unknown; address?: string } = {},
): Promise<Answer> {
  const answer = await fetch(`${url}/rest/v1/${path}`, {
    method,
    headers: {
      apikey: publishableKey,
      authorization: `Bearer ${token}`,
      "content-type": "application/json",
      ...path.startsWith("rpc/")
        ? { "accept-profile": "bulwark", "content-profile": "bulwark" }
        : {},
      // The stack appends its own entry: two hops.
      "x-forwarded-for": address,
    },
    ...body === undefined ? {} : { body: JSON.stringify(body) },
  });
  const text = await answer.text();
  const code = answer.ok || !text ? null : JSON.parse(text).details as string | null;
  return { status: answer.status, headers: answer.headers, code };
}

const remaining = ({ headers }: Answer) => headers.get("x-ratelimit-remaining");

async function prepare(): Promise<{ acme: string; ada: Person; eve: Person; writes: Writes }> {
  const [ada, eve] = await Promise.all([signUp("ada"), signUp("eve")]);
  const [acme, globex] = [await createOrganization(ada), await createOrganization(eve)];
  const organizations = new Map([[ada, acme], [eve, globex]]);
  const owner = connect(1);
  await owner`
    update bulwark.settings set value = case name
      when 'rate_limits.address_header' then '"x-forwarded-for"' else '2'
    end::jsonb
    where name in ('rate_limits.address_header', 'rate_limits.address_hops')
  `;
  await owner.end();
  await installHook();
  const writes: Writes = (person, options) =>
    request("POST", "reports", person, {
      body: { organization_id: organizations.get(person), title: "a report" },
      ...options,
    });
  return { acme, ada, eve, writes };
}
type Writes = (person: Person, options?: { address: string }) => Promise<Answer>;

Deno.test("RATE-H01: writes are charged to their user and say what is left; reads are not", async () => {
  const { ada, eve, writes } = await prepare();
  const first = await writes(ada);
  assert.equal(first.status, 201);
  const left = Number(remaining(first));
  assert.ok(left > 0 && left < 60, String(left));
  assert.equal(first.headers.get("ratelimit-policy"), '"api_default";q=60;w=60');
  assert.match(first.headers.get("access-control-expose-headers") ?? "", /RateLimit-Policy/);
  const read = await request("GET", "reports?select=id", ada);
  assert.deepEqual([read.status, remaining(read)], [200, null]);
  const refused = await request("POST", "reports", ada, { body: { organization_id: null } });
  assert.deepEqual([refused.status, remaining(refused)], [403, null], "a failure refunds itself");

  const many = await Promise.all(Array.from({ length: 80 }, () => writes(ada)));
  const denied = many.filter(({ status }) => status !== 201);
  assert.ok(denied.length > 0);
  for (const { status, code, headers } of denied) {
    assert.deepEqual([status, code], [429, "RATE_LIMIT_EXCEEDED"]);
    assert.ok(Number(headers.get("retry-after")) >= 1);
    assert.match(headers.get("ratelimit") ?? "", /^"api_default";r=0;t=\d+$/);
    assert.match(headers.get("access-control-expose-headers") ?? "", /retry-after/i);
  }
  assert.equal((await request("GET", "reports?select=id", ada)).status, 200, "reads go on");
  assert.equal((await writes(eve)).status, 201, "somebody else has a bucket of her own");
});

Deno.test("RATE-H02: a caller who waits for Retry-After passes", async () => {
  const { ada, writes } = await prepare();
  let answer = await writes(ada);
  for (let call = 0; answer.status === 201; call++) {
    assert.ok(call < 200);
    answer = await writes(ada);
  }
  assert.equal(answer.status, 429);
  const wait = Number(answer.headers.get("retry-after"));
  await new Promise((resolve) => setTimeout(resolve, wait * 1000));
  assert.equal((await writes(ada)).status, 201);
});

Deno.test("RATE-H03: a blocked address is blocked for reads too, and for nobody else", async () => {
  const { ada, eve, writes } = await prepare();
  const owner = connect(1);
  try {
    await owner`select bulwark.list_network('198.51.100.7', 'block', 'a test')`;
    const blocked = { address: "198.51.100.7" };
    for (
      const answer of [
        await request("GET", "reports?select=id", ada, blocked),
        await request("GET", "rpc/list_metrics", ada, blocked),
        await request("POST", "rpc/has_permission", ada, {
          body: { permission: "audit:read" },
          ...blocked,
        }),
        await writes(ada, blocked),
        // Entries that the client puts before its own address are ignored.
        await writes(ada, { address: "203.0.113.9, 198.51.100.7" }),
      ]
    ) {
      assert.deepEqual([answer.status, answer.code], [429, "RATE_LIMIT_BLOCKED"]);
      assert.ok(Number(answer.headers.get("retry-after")) >= 1);
    }
    assert.equal((await request("HEAD", "reports?select=id", ada, blocked)).status, 429);
    assert.equal((await request("GET", "reports?select=id", ada)).status, 200);
    assert.equal((await request("GET", "reports?select=id", eve)).status, 200);
    await owner`select bulwark.unlist_network('198.51.100.7')`;
    assert.equal((await request("GET", "reports?select=id", ada, blocked)).status, 200);
  } finally {
    await owner.end();
  }
});

Deno.test("RATE-H04: the hook that was there before runs behind ours, and its refusal counts", async () => {
  const { ada, writes } = await prepare();
  const owner = connect(1);
  try {
    await owner.unsafe(`
      create function public.host_hook() returns void language plpgsql as $$
      begin
        if current_setting('request.path') = '/rpc/list_alerts' then
          raise exception 'Not today' using errcode = 'PT418', detail = 'HOST_SAYS_NO';
        end if;
      end $$;
      update bulwark.settings set value = '"public.host_hook"'
      where name = 'rate_limits.next_request_check';
    `);
    assert.equal((await writes(ada)).status, 201);
    const refused = await request("POST", "rpc/list_alerts", ada, { body: {} });
    assert.deepEqual([refused.status, refused.code], [418, "HOST_SAYS_NO"]);
  } finally {
    await owner.unsafe(`
      update bulwark.settings set value = 'null' where name = 'rate_limits.next_request_check';
      drop function public.host_hook();
    `);
    await owner.end();
  }
});

Deno.test("RATE-H05: the service role is not limited", async () => {
  await prepare();
  const statuses = await Promise.all(
    Array.from(
      { length: 80 },
      () =>
        service().rpc("log_audit_event", { event_type: "system.startup" })
          .then(({ status }) => status),
    ),
  );
  assert.deepEqual([...new Set(statuses)], [200]);
});
