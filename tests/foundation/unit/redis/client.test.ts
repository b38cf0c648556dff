/** The client of Redis before real servers that are away, frozen, demoted, locked or a cluster. */
import assert from "node:assert/strict";
import { redisTest as testWithRedis, type TestRedis } from "../../../../scripts/testing/redis.ts";
import type { Redis } from "ioredis";
import {
  openRedis,
  type RedisClient,
} from "../../../../supabase/functions/_bulwark/foundation/redis/client.ts";
import { addressesOf } from "../../../../supabase/functions/_bulwark/foundation/redis/tcp.ts";

const pause = (time: number) => new Promise((resolve) => setTimeout(resolve, time));
const write = (client: RedisClient) =>
  client.call("SET", "k", "v").then(() => "stored", (thrown) => thrown.name as string);

Deno.test("REDIS-11: several addresses are told apart, and a malformed one is not quoted", () => {
  const hosts = (url: string) => addressesOf(url).map(({ host }) => host);
  assert.deepEqual(hosts("redis://a:1,redis://:x@b, rediss://c"), ["a:1", "b", "c"]);
  assert.deepEqual(hosts("redis://:pass,word@a:1"), ["a:1"]);
  for (const url of ["hunter2", "redis://a:hunter2,redis://b", "redis://a,http://hunter2:x", ""]) {
    assert.throws(
      () => openRedis({ ...none, redisUrl: url || "," }),
      (thrown: Error) => /^REDIS_URL is no address/.test(thrown.message),
      url,
    );
  }
});

/** Longer than by default: an answer of a busy machine is no outage. */
const timeoutMs = 500;
const none = { redisUrl: null, upstashUrl: null, upstashToken: null };

function open(url: string) {
  const lines: string[] = [];
  const options = { timeoutMs, log: (line: string) => lines.push(line) };
  const client = openRedis({ ...none, redisUrl: url }, options);
  assert.ok(client);
  return { client, lines };
}

async function recovers(client: RedisClient): Promise<void> {
  for (let tries = 0; tries < 400 && await write(client) !== "stored"; tries++) await pause(25);
  assert.equal(await write(client), "stored");
}

type Tools = { server: TestRedis; admin: Redis };
function redisTest(
  claim: string,
  test: (tools: Tools) => Promise<void>,
  more: string[] = [],
): void {
  testWithRedis(claim, (server) => test({ server, admin: server.connect() }), more);
}

redisTest(
  "REDIS-01: a demoted primary is left, and used again when promoted",
  async ({ server, admin }) => {
    const { client, lines } = open(server.url);
    assert.equal(await write(client), "stored");
    await admin.replicaof("127.0.0.1", "1");
    assert.equal(await write(client), "Unavailable");
    assert.equal(client.isAway, true);
    for (let i = 0; i < 40; i++) {
      assert.equal(await write(client), "Unavailable");
      await pause(50);
    }
    assert.equal(lines.length, 1, lines.join("\n"));
    assert.match(lines[0]!, /READONLY.*primary/);
    await admin.replicaof("NO", "ONE");
    await recovers(client);
    assert.equal(lines.length, 2);
    client.close();
  },
);

redisTest(
  "REDIS-02: a frozen server is asked a few times and then left alone",
  async ({ server, admin }) => {
    const { client, lines } = open(server.url);
    await write(client);
    await admin.config("RESETSTAT");
    server.freeze();
    for (let i = 0; i < 100; i++) {
      await Promise.all(Array.from({ length: 50 }, () => write(client)));
    }
    assert.equal(client.isAway, true);
    server.thaw();
    const info = await admin.info("commandstats");
    assert.ok(Number(/cmdstat_set:calls=(\d+)/.exec(info)?.[1]) <= 150, info);
    await recovers(client);
    assert.ok(/no answer/.test(lines[0]!) && lines.length === 2, lines.join("\n"));
    client.close();
  },
);

redisTest(
  "REDIS-03: a refused port is named, and no connection is tried while it is open",
  async ({ server }) => {
    const { client, lines } = open(server.url);
    await server.kill();
    for (let i = 0; i < 500; i++) assert.equal(await write(client), "Unavailable");
    assert.ok(lines.length === 1 && /ECONNREFUSED/.test(lines[0]!), lines.join("\n"));
    await server.start();
    await recovers(client);
    client.close();
  },
);

redisTest(
  "REDIS-04: a wrong or missing password is said, and never shown",
  async ({ server, admin }) => {
    await admin.config("SET", "requirepass", "right");
    for (const [user, cause] of [[":hunter2@", /WRONGPASS/], ["", /NOAUTH/]] as const) {
      const { client, lines } = open(server.url.replace("//", `//${user}`));
      for (let i = 0; i < 20; i++) assert.equal(await write(client), "Unavailable");
      assert.ok(lines.length === 1 && cause.test(lines[0]!), lines.join("\n"));
      assert.doesNotMatch(lines[0]!, /hunter2/);
      client.close();
    }
  },
);

redisTest(
  "REDIS-05: a node of a cluster that serves no slots is named as such",
  async ({ server }) => {
    const { client, lines } = open(server.url);
    for (let i = 0; i < 20; i++) assert.equal(await write(client), "Unavailable");
    assert.ok(lines.length === 1 && /Redis Cluster/.test(lines[0]!), lines.join());
    client.close();
  },
  // By default its port for other nodes is its own and 10,000, which may be no port.
  ["--cluster-enabled", "yes", "--cluster-port", `${20_000 + Math.floor(Math.random() * 10_000)}`],
);

redisTest(
  "REDIS-06: a connection that was cut is made again, and no command fails",
  async ({ server, admin }) => {
    const { client, lines } = open(server.url);
    await write(client);
    for (let i = 0; i < 5; i++) {
      await admin.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
      await pause(20);
      assert.deepEqual(await Promise.all([write(client), write(client)]), ["stored", "stored"]);
    }
    assert.deepEqual(lines, []);
    client.close();
  },
);

redisTest(
  "REDIS-07: a command that is refused is told once, and Redis is used on",
  async ({ server, admin }) => {
    const { client, lines } = open(server.url);
    await write(client);
    await admin.config("SET", "maxmemory", "1");
    for (let i = 0; i < 10; i++) assert.equal(await write(client), "Unavailable");
    assert.equal(await client.call("GET", "k"), "v");
    assert.ok(lines.length === 1 && /OOM.*maxmemory/.test(lines[0]!), lines.join("\n"));
    client.close();
  },
);

redisTest(
  "REDIS-08: a user without INFO is served, a database that is not there is refused",
  async ({ server, admin }) => {
    await admin.acl("SETUSER", "poor", "on", ">secret", "~*", "+set");
    const poor = open(server.url.replace("//", "//poor:secret@"));
    assert.equal(await write(poor.client), "stored");
    const nowhere = open(`${server.url}/99`);
    assert.equal(await write(nowhere.client), "Unavailable");
    assert.match(nowhere.lines.join("\n"), /DB index is out of range/);
    for (const { client } of [poor, nowhere]) client.close();
  },
);

/** An endpoint in the place of Upstash's. */
function endpointTest(
  claim: string,
  answer: () => Response | Promise<Response>,
  test: (tools: { client: RedisClient; lines: string[]; requests: () => number }) => Promise<void>,
): void {
  Deno.test({
    name: claim,
    sanitizeOps: false,
    sanitizeResources: false,
    async fn() {
      let count = 0;
      const stop = new AbortController();
      const options = { hostname: "127.0.0.1", port: 0, onListen() {}, signal: stop.signal };
      const server = Deno.serve(options, () => {
        count++;
        return answer();
      });
      const lines: string[] = [];
      const client = openRedis(
        { ...none, upstashUrl: `http://127.0.0.1:${server.addr.port}`, upstashToken: "hunter2" },
        { timeoutMs, log: (line) => lines.push(line) },
      );
      assert.ok(client);
      await test({ client, lines, requests: () => count });
      assert.doesNotMatch(lines.join(), /hunter2/);
      stop.abort();
    },
  });
}

const redirect = new Headers({ location: "http://127.0.0.1:1/" });
const bad: [name: string, cause: RegExp, answer: () => Response][] = [
  ...[400, 401, 429, 503].map((status): typeof bad[number] => [
    `status ${status}`,
    new RegExp(`HTTP ${status}`),
    () => Response.json({ error: "ERR no hunter2" }, { status }),
  ]),
  ["an error page", /HTTP 502/, () => new Response("<html>hunter2</html>", { status: 502 })],
  ["a page", /HTTP 200/, () => new Response("<html>")],
  ["another JSON", /HTTP 200/, () => Response.json([null])],
  ["a redirection", /redirect/, () => new Response(null, { status: 302, headers: redirect })],
];
for (const [name, cause, answer] of bad) {
  endpointTest(
    `REDIS-09: by HTTP ${name} opens the breaker after one request`,
    answer,
    async ({ client, lines, requests }) => {
      for (let i = 0; i < 50; i++) assert.equal(await write(client), "Unavailable");
      assert.equal(requests(), 1);
      assert.ok(lines.length === 1 && cause.test(lines[0]!), lines.join());
    },
  );
}

let isSilent = true;
endpointTest(
  "REDIS-10: an endpoint that is silent is asked three times and left, and used again",
  () => isSilent ? new Promise(() => {}) : Response.json({ result: "OK" }),
  async ({ client, lines, requests }) => {
    for (let i = 0; i < 50; i++) assert.equal(await write(client), "Unavailable");
    assert.equal(requests(), 3);
    isSilent = false;
    await recovers(client);
    assert.ok(/no answer/.test(lines[0]!) && lines.length === 2, lines.join("\n"));
  },
);
