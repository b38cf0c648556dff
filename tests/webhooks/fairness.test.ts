/** Endpoints that hang in different ways, while webhooks of others still arrive. */
import assert from "node:assert/strict";
import { type Behaviour, readRequest, startReceiver } from "./unit/fixtures.ts";
import { connect, createOrganization, signUp } from "../support.ts";
import { cause, endpoint, receive, until } from "./support.ts";

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

const hang: Behaviour = async (connection) => {
  const rest = new Uint8Array(1024);
  while (await connection.read(rest) !== null);
};

/** Sends these bytes again and again, with a pause each time. */
const after = (milliseconds: number, bytes: string): Behaviour => async (connection) => {
  await readRequest(connection);
  for (;;) {
    await pause(milliseconds);
    await connection.write(new TextEncoder().encode(bytes));
  }
};

/** Ways in which a receiver can delay a worker. */
const kinds: Behaviour[] = [
  hang,
  async (connection, receiver) => {
    await readRequest(connection);
    await hang(connection, receiver);
  },
  after(900, "x"),
  after(500, "HTTP/1.1 102 Processing\r\n\r\n"),
  after(8000, "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"),
  after(3000, "HTTP/1.1 307 x\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"),
  after(100, "HTTP/1.1 503 x\r\nRetry-After: 999999999999\r\nContent-Length: 0\r\n\r\n"),
];

Deno.test("WHK-W09: two hundred endpoints that hang, of four accounts, hold up nobody else", async () => {
  await using stack = new AsyncDisposableStack();
  const receivers = kinds.map((kind) => stack.use(startReceiver(kind)));
  const organizations = (await Promise.all(Array.from({ length: 4 }, async () => {
    const attacker = await signUp("attacker");
    const ids = [await createOrganization(attacker), await createOrganization(attacker)];
    for (const id of ids) {
      for (let made = 0; made < 25; made++) {
        const port = receivers[made % receivers.length]?.port;
        await endpoint(attacker, id, { url: `http://127.0.0.1:${port}/hook` }, {
          follow_redirects: true,
          ordering: made % 5 === 0 ? "resource" : "none",
        });
      }
    }
    return ids;
  }))).flat();
  const known = stack.use(receive());
  const fresh = stack.use(receive());
  const [victim, newcomer] = [await signUp("victim"), await signUp("newcomer")];
  const theirs = [await createOrganization(victim), await createOrganization(newcomer)] as const;
  await endpoint(victim, theirs[0], known);
  await cause(theirs[0], 1);
  await known.until(({ length }) => length === 1);
  await endpoint(newcomer, theirs[1], fresh);
  const sql = connect(1);
  stack.defer(async () => {
    await sql`delete from bulwark.webhook_endpoints where organization_id = any (${organizations})`;
    await sql`select bulwark.prune_webhook_deliveries()`;
    await sql.end();
  });

  for (const organization of organizations) await cause(organization, 5);
  const hanging = () =>
    receivers.slice(0, 4).reduce((sum, { connections }) => sum + connections, 0);
  await until(() => hanging() >= 16);
  await Promise.all([cause(theirs[0], 5), cause(theirs[1], 5)]);
  await known.until(({ length }) => length === 6);
  await fresh.until(({ length }) => length === 5);
  const [stood] = await sql`
    select
      (select max(n) from (
        select count(*)::int as n from bulwark.webhook_deliveries d
        where d.organization_id = any (${organizations}) and d.attempt_id is not null
        group by d.endpoint_id) s) as most,
      (select count(*)::int from bulwark.webhook_attempts a
       join bulwark.webhook_deliveries d on d.id = a.delivery_id
       where d.organization_id = any (${organizations}) and a.latency_ms > 1500) as ended
  `;
  assert.equal(stood?.["most"], 1, "an endpoint that never answered has one attempt at a time");
  assert.ok(stood?.["ended"] < 200, `others waited for ${stood?.["ended"]} attempts that hung`);
});
