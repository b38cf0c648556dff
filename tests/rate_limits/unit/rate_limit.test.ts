import assert from "node:assert/strict";
import { admitted, fixed, refused, terms } from "./decisions.ts";
import { BulwarkError } from "../../../supabase/functions/_bulwark/foundation/errors.ts";
import { readRateLimitEnv } from "../../../supabase/functions/_bulwark/rate_limits/env.ts";
import { handle } from "../../../supabase/functions/_bulwark/foundation/http.ts";
import { limitsOf, openLimits } from "../../../supabase/functions/_bulwark/rate_limits/mod.ts";
import {
  clientAddress,
  networkOf,
} from "../../../supabase/functions/_bulwark/rate_limits/address.ts";
import { costOf, decisionOf } from "../../../supabase/functions/_bulwark/rate_limits/arithmetic.ts";
import type { Charge } from "../../../supabase/functions/_bulwark/rate_limits/decision.ts";
import {
  rateLimitHeaders,
  refusal,
} from "../../../supabase/functions/_bulwark/rate_limits/headers.ts";
import { identifier } from "../../../supabase/functions/_bulwark/rate_limits/identity.ts";
import { LocalBuckets } from "../../../supabase/functions/_bulwark/rate_limits/local_buckets.ts";
import type { Env } from "../../../supabase/functions/_bulwark/foundation/env.ts";
import { originOf, signIn } from "../../../supabase/functions/_bulwark/rate_limits/login.ts";

Deno.test("costOf() rounds up, so that a whole bucket never takes less than its window", () => {
  for (const [capacity, windowSeconds] of [[7, 60], [60, 60], [3, 3600], [999_983, 1]] as const) {
    const { cost, whole } = costOf({ ...terms, capacity, windowSeconds });
    assert.ok(Number.isInteger(cost) && whole === cost * capacity && whole >= windowSeconds * 1e6);
  }
});

Deno.test("decisionOf() counts what is left of the emptiest bucket and waits for the last", () => {
  const present = 1e15;
  const buckets = [
    { fullAt: present + 10e6, admitted: true },
    { fullAt: present + 60e6, admitted: false },
  ];
  const decision = decisionOf({ rule: "api_default" }, terms, present, buckets);
  assert.deepEqual(decision, { ...refused, retryAfterSeconds: 1 });
  const one = decisionOf({ rule: "api_default" }, terms, present, [
    { fullAt: present + 1e6, admitted: true },
  ]);
  assert.deepEqual(one, admitted);
});

Deno.test("LocalBuckets admit the capacity, refill evenly, and do not go back in time", () => {
  let now = 1_700_000_000_000;
  const local = new LocalBuckets(() => now);
  const charge: Charge = { rule: "api_default", address: "203.0.113.1" };
  const drain = () => {
    let count = 0;
    while (local.decide(terms, charge).allowed) count++;
    return count;
  };
  assert.equal(drain(), 60);
  now += 10_000;
  assert.equal(drain(), 10);
  now -= 3_600_000;
  assert.equal(drain(), 0);
  now += 7_200_000;
  assert.equal(drain(), 60);
});

Deno.test("rateLimitHeaders() never asks to come back earlier than RateLimit says", () => {
  assert.deepEqual(rateLimitHeaders(refused), {
    "RateLimit-Policy": '"api_default";q=60;w=60',
    "RateLimit": '"api_default";r=0;t=7',
    "X-RateLimit-Limit": "60",
    "X-RateLimit-Remaining": "0",
    "X-RateLimit-Reset": "60",
    "Retry-After": "7",
  });
  assert.ok(!("Retry-After" in rateLimitHeaders(admitted)));
});

Deno.test("refusal() is a problem document with our stable code", async () => {
  for (
    const [reason, status, type, code] of [
      ["rate", 429, "quota-exceeded", "RATE_LIMIT_EXCEEDED"],
      ["block", 429, "abnormal-usage-detected", "RATE_LIMIT_BLOCKED"],
      ["unavailable", 503, "temporary-reduced-capacity", "RATE_LIMIT_UNAVAILABLE"],
    ] as const
  ) {
    const answer = refusal({ ...refused, reason }, "an-id-of-a-request");
    const body = await answer.json();
    assert.equal(answer.status, status);
    assert.equal(answer.headers.get("content-type"), "application/problem+json");
    assert.equal(answer.headers.get("retry-after"), "7");
    assert.equal(body.type, `https://iana.org/assignments/http-problem-types#${type}`);
    assert.deepEqual([body.code, body.status], [code, status]);
    assert.deepEqual(body["violated-policies"], ["api_default"]);
  }
});

Deno.test("clientAddress() counts trusted proxies from the end, and trusts nothing by default", () => {
  const request = (value: string | null) =>
    new Request("http://localhost/", value === null ? {} : { headers: { "x-real": value } });
  const from = (value: string | null, addressHops = 1) =>
    clientAddress(request(value), { addressHeader: "x-real", addressHops });
  assert.equal(from("203.0.113.1"), "203.0.113.1");
  assert.equal(from("6.6.6.6, 203.0.113.1"), "203.0.113.1");
  assert.equal(from("6.6.6.6, 203.0.113.1, 10.0.0.1", 2), "203.0.113.1");
  assert.equal(from("203.0.113.1", 2), null);
  assert.equal(from(""), null);
  assert.equal(from(null), null);
  assert.equal(from("6.6.6.6, ".repeat(1200) + "203.0.113.1"), "203.0.113.1");
  const untrusted = { addressHeader: null, addressHops: 1 };
  assert.equal(clientAddress(request("203.0.113.1"), untrusted), null);
});

Deno.test("networkOf() knows what is no address", () => {
  for (const junk of ["", "junk", "1.2.3.4.5", "999.1.1.1", "::1::", "x".repeat(10_240), null]) {
    assert.equal(networkOf(junk), null);
  }
  assert.equal(networkOf("2001:DB8:0:1:ffff::9"), "2001:db8:0:1::/64");
});

Deno.test("originOf() reads a place only where headers are trusted, and only numbers", () => {
  const request = new Request("http://localhost/", { headers: { lat: "52.5", lon: "east" } });
  assert.deepEqual(originOf(request, null, ["lat", "lon"]), {
    address: null,
    latitude: 52.5,
    longitude: null,
    userAgent: null,
  });
  assert.equal(originOf(request, null, null).latitude, null);
});

Deno.test("signIn() tells Supabase Auth who is signing in, and nothing that is not known", async () => {
  const seen: (string | null)[][] = [];
  const auth = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
    seen.push(["user-agent", "x-forwarded-for"].map((name) => request.headers.get(name)));
    return Response.json({ user: { id: "ada" } });
  });
  const env = { url: `http://127.0.0.1:${auth.addr.port}`, publishableKey: "key" } as Env;
  const credentials = { email: "ada@people.test", password: "right" };
  const headers = { "user-agent": "Firefox/1", "x-forwarded-for": "6.6.6.6" };
  const request = new Request("http://localhost/", { headers });
  await signIn(env, credentials, originOf(request, "203.0.113.7", null));
  await signIn(env, credentials, originOf(new Request("http://localhost/"), null, null));
  await auth.shutdown();
  assert.deepEqual(seen[0], ["Firefox/1", "203.0.113.7"]);
  assert.equal(seen[1]?.[1], null);
});

Deno.test("a limited handler answers with headers, also when it refuses for its own reasons", async () => {
  const noted: string[] = [];
  const limit = limitsOf({
    store: fixed(admitted),
    identify: () => Promise.resolve({ userId: "someone" }),
    address: () => null,
    noteRefusal: (user) => Promise.resolve(void noted.push(user)),
  });
  const answer = (handler: () => Promise<Response>) =>
    handle(limit("api_default", handler))(new Request("http://localhost/x"));
  const fine = await answer(() => Promise.resolve(new Response("fine")));
  assert.equal(fine.headers.get("ratelimit"), '"api_default";r=59;t=1');
  const denied = await answer(() =>
    Promise.reject(new BulwarkError(403, "RBAC_PERMISSION_DENIED", "Cannot"))
  );
  assert.equal(denied.status, 403);
  assert.equal(denied.headers.get("x-ratelimit-remaining"), "59");
  assert.deepEqual(noted, ["someone"]);
  assert.match(denied.headers.get("access-control-expose-headers") ?? "", /Retry-After/);
});

Deno.test("openLimits() without the capability rate_limits asks nobody and limits nothing", async () => {
  const nowhere = { url: "http://127.0.0.1:1", publishableKey: "p", secretKey: "s" };
  const untrusted = { addressHeader: null, addressHops: 1, placeHeaders: null };
  const limit = openLimits({ ...nowhere, ...untrusted, redisUrl: null }, new Set());
  const seen: unknown[] = [];
  const handler = limit("api_default", (_request, charged) => {
    seen.push(charged);
    return Promise.resolve(new Response("called"));
  });
  const answer = await handler(
    new Request("http://localhost/", { headers: { authorization: "Bearer x.y.z" } }),
  );
  assert.equal(await answer.text(), "called");
  assert.deepEqual(seen, [{ rule: null, caller: null }]);
});

Deno.test("a limited handler is not called when it is too much, and who is asked of the token", async () => {
  const charges: Charge[] = [];
  const limit = limitsOf({
    store: {
      decide: (charge) => {
        charges.push(charge);
        return Promise.resolve(refused);
      },
    },
    identify: () => Promise.reject(new Error("Auth is away")),
    address: () => "203.0.113.1",
    noteRefusal: () => Promise.resolve(),
  });
  const handler = limit(
    (request) => request.method === "POST" ? null : "api_strict",
    () => Promise.resolve(new Response("called")),
  );
  assert.equal((await handler(new Request("http://localhost/"))).status, 429);
  assert.deepEqual(charges, [{ rule: "api_strict", address: "203.0.113.1" }]);
  const free = await handler(new Request("http://localhost/", { method: "POST" }));
  assert.equal(await free.text(), "called");
});

Deno.test("who is refused by address has no forged token verified, and those who are known go on", async () => {
  let questions = 0;
  const auth = Deno.serve({ port: 0, onListen: () => {} }, (request) => {
    questions++;
    const token = request.headers.get("authorization") ?? "";
    const { sub } = JSON.parse(atob(token.split(".")[1] ?? ""));
    return token.endsWith(".genuine")
      ? Response.json([{ user_id: sub, api_key_id: null, organization_id: null }])
      : Response.json({ code: "PGRST301", message: "not signed" }, { status: 401 });
  });
  const env = { url: `http://localhost:${auth.addr.port}`, publishableKey: "p", secretKey: "s" };
  const charges: Charge[] = [];
  let [open, time] = [true, 0];
  const limit = limitsOf({
    store: {
      decide: (charge) => {
        charges.push(charge);
        return Promise.resolve(open || charge.userId ? admitted : refused);
      },
    },
    identify: identifier(env, () => time),
    address: (request) => request.headers.get("x-address"),
    noteRefusal: () => Promise.resolve(),
  });
  const handler = limit("api_default", () => Promise.resolve(new Response("fine")));
  const encode = (value: unknown) => btoa(JSON.stringify(value)).replaceAll("=", "");
  const token = (signature: string, sub: string = crypto.randomUUID()) => {
    const claims = { sub, role: "authenticated", exp: Math.floor(Date.now() / 1000) + 600 };
    return `${encode({ alg: "HS256", typ: "JWT" })}.${encode(claims)}.${signature}`;
  };
  const ask = async (bearer: string, address: string) => {
    const headers = { authorization: `Bearer ${bearer}`, "x-address": address };
    return (await handler(new Request("http://localhost/", { headers }))).status;
  };
  try {
    const ada = token("genuine", "ada");
    assert.equal(await ask(ada, "2001:db8::1"), 200);
    open = false;
    for (let call = 0; call < 1200; call++) {
      assert.equal(await ask(token("forged"), `2001:db8::${call.toString(16)}`), 429);
    }
    assert.equal(questions, 2, "one for each of them, and none for the flood");
    assert.equal(
      await ask(ada, "2001:db8::1"),
      200,
      "an identified caller from there is still served",
    );
    time = 60_000;
    assert.equal(await ask(ada, "2001:db8::1"), 200, "also when that was a while ago");
    assert.equal(await ask(token("genuine", "eve"), "203.0.113.1"), 200, "and others elsewhere");
    assert.equal(questions, 4);
    assert.equal(charges.at(-1)?.userId, "eve");
  } finally {
    await auth.shutdown();
  }
});

Deno.test("identifier() asks once for a burst with one token", async () => {
  let questions = 0;
  const server = Deno.serve({ port: 0, onListen: () => {} }, () => {
    questions++;
    return Response.json([{ user_id: "ada", api_key_id: null, organization_id: null }]);
  });
  const url = `http://localhost:${server.addr.port}`;
  const identify = identifier({ url, publishableKey: "p" });
  const headers = { authorization: "Bearer a.b.c" };
  const callers = await Promise.all(
    Array.from({ length: 600 }, () => identify(new Request("http://localhost/", { headers }))),
  );
  await server.shutdown();
  assert.deepEqual(new Set(callers.map((caller) => JSON.stringify(caller))).size, 1);
  assert.deepEqual([callers[0], questions], [{ userId: "ada" }, 1]);
});

Deno.test("readRateLimitEnv() trusts no header unless it is told to", () => {
  const base = { SUPABASE_URL: "http://x", SUPABASE_ANON_KEY: "a", SUPABASE_SERVICE_ROLE_KEY: "s" };
  const read = (more: Record<string, string>) =>
    readRateLimitEnv((name) => ({ ...base, ...more })[name as keyof typeof base]);
  const { addressHeader, addressHops, redisUrl, placeHeaders } = read({});
  assert.deepEqual([addressHeader, addressHops, redisUrl, placeHeaders], [null, 1, null, null]);
  const set = read({ BULWARK_ADDRESS_HOPS: "2", BULWARK_PLACE_HEADERS: "lat, lon" });
  assert.deepEqual([set.addressHops, set.placeHeaders], [2, ["lat", "lon"]]);
  assert.throws(() => read({ BULWARK_ADDRESS_HOPS: "0" }), /BULWARK_ADDRESS_HOPS/);
});

Deno.test("a flood from many networks does not make those forgotten that were refused before", async () => {
  const asked: boolean[] = [];
  const limit = limitsOf({
    store: {
      decide: () =>
        Promise.resolve({ ...admitted, allowed: false, reason: "rate", retryAfterSeconds: 60 }),
    },
    identify: (_request, ask = true) => {
      asked.push(ask);
      return Promise.resolve(null);
    },
    address: (request) => request.headers.get("x-from"),
    noteRefusal: () => Promise.resolve(),
  });
  const answer = limit("api_default", () => Promise.resolve(new Response()));
  const from = async (i: number) => {
    const address = `10.1.${i >> 8}.${i & 255}`;
    await answer(new Request("http://localhost/", { headers: { "x-from": address } }));
    return asked.at(-1);
  };
  for (let i = 0; i <= 10_000; i++) await from(i);
  assert.deepEqual(
    [await from(1), await from(10_000)],
    [false, false],
    "nobody is asked about them",
  );
  assert.equal(await from(0), true, "the oldest was forgotten");
});
