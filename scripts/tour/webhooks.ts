import assert from "node:assert/strict";
import postgres from "postgres";
import {
  verifyWebhook,
  WebhookRefused,
} from "../../supabase/functions/_bulwark/webhooks/verify.ts";
import { Failure } from "../stack/failure.ts";
import { Point } from "../../supabase/functions/_bulwark/metrics/histogram.ts";
import { expect, type Place, signUp, step, title, type Visitor } from "./guide.ts";
import { record } from "./metrics.ts";

/** A request as the receiver judged it. */
interface Arrival {
  id: string;
  type: string;
  severity: string;
  /** The subject of a security event. */
  subject: string | undefined;
  fault: string | null;
}

/**
 * Webhooks: an entry, an event and an alert at real receivers, a failure, its retries, a replay.
 */
export async function webhooks(place: Place): Promise<void> {
  title("Ada has a receiver on this machine and registers it");
  const ada = await signUp(place, "Ada");
  const slug = `tour-${crypto.randomUUID().slice(0, 8)}`;
  const { id: organization_id } = await step(
    "Ada makes an organization",
    ada.bulwark.rpc("create_organization", { name: "Tour", slug }),
  );
  await using receiver = openReceiver();
  const wanted = {
    organization_id,
    name: "Ada's receiver",
    url: receiver.url,
    subscriptions: [
      { pattern: "audit.data.export" },
      { pattern: "security.*", minimum_severity: "warning" },
    ],
  };
  for (const url of ["https://169.254.169.254/", "https://10.0.0.1/", "http://example.com/"]) {
    const { status, body } = await call(place, ada, "endpoints", { ...wanted, url });
    confirm(`${url} is refused`, [status, body["code"]], [400, "WEBHOOK_URL_NOT_ALLOWED"]);
  }
  const made = await call(place, ada, "endpoints", wanted);
  confirm("the receiver is registered, its secret shown once", made.status, 201);
  const { id: endpoint_id, secret } = made.body as { id: string; secret: string };
  receiver.secret = secret;
  const tested = await call(place, ada, `endpoints/${endpoint_id}/test`);
  confirm("a test arrives and verifies", [tested.body["outcome"], receiver.arrivals[0]?.fault], [
    "delivered",
    null,
  ]);

  title("An audit entry and a security event arrive, signed");
  await step(
    "Ada exports a report",
    ada.bulwark.rpc("log_audit_event", { event_type: "data.export", organization_id }),
  );
  const exported = await receiver.next(1);
  confirm("the entry arrived and verifies", exported, { type: "audit.data.export", fault: null });
  await using database = openDatabase(place);
  const { sql } = database;
  const [raised] = await sql`
    select bulwark.raise_security_event(
      'brute_force', ${organization_id}, ${ada.id}, 'tour', '{"attempts": 12}'
    ) as id
  `;
  const alarm = await receiver.next(2);
  confirm("the security event arrived and verifies", alarm, {
    type: "security.brute_force",
    fault: null,
  });

  await alert(place, sql);

  title("A receiver that fails is tried again, under the same id");
  receiver.failures = 2;
  await step(
    "Ada resolves the event while her receiver is down",
    ada.bulwark.rpc("resolve_security_event", { event_id: raised?.["id"], note: "A tour" }),
  );
  const resolved = await receiver.next(5);
  confirm("it arrives at the third attempt", resolved, {
    type: "security.brute_force.resolved",
    fault: null,
  });
  const [, , , ...tries] = receiver.arrivals.map(({ id }) => id);
  confirm("each with the id of the first", new Set(tries).size, 1);
  const delivery = tries[0] ?? "";
  const attempts = () =>
    ada.bulwark.from("webhook_attempts").select("number, outcome, status")
      .eq("delivery_id", delivery).order("number");
  await until(async () => (await attempts()).data?.length === 3);
  await expect("the log has all of them", [
    { number: 1, outcome: "rejected", status: 503 },
    { number: 2, outcome: "rejected", status: 503 },
    { number: 3, outcome: "delivered", status: 200 },
  ], attempts());

  title("A replay, and somebody who replays on his own");
  const { error } = await ada.bulwark.rpc("replay_webhook_delivery", {
    delivery_id: receiver.arrivals[1]?.id ?? "",
  });
  confirm("Ada replays the entry", error, null);
  const again = await receiver.next(6);
  confirm("the receiver knows its id and does nothing", again, {
    type: "audit.data.export",
    fault: "repeated",
  });
  const forged = await receiver.forge();
  confirm("a body that was tampered with does not verify", forged, "invalid");
}

/** Alerts belong to the installation, so an operator registers a receiver for them. */
async function alert(place: Place, sql: postgres.Sql): Promise<void> {
  title("A threshold is crossed: the operator's receiver is told, and told when it is over");
  const otto = await signUp(place, "Otto");
  await sql`select bulwark.grant_role(${otto.id}, 'super_admin')`;
  const rule = `tour_${crypto.randomUUID().slice(0, 8)}`;
  await using pager = openReceiver();
  const made = await call(place, otto, "endpoints", {
    organization_id: null,
    name: "Operators",
    url: pager.url,
    subscriptions: [
      { pattern: "security.alert_warning" },
      { pattern: "security.alert_warning.resolved" },
    ],
  });
  confirm("Otto, a super_admin, registers a receiver for the installation", made.status, 201);
  const { id: endpoint_id, secret } = made.body as { id: string; secret: string };
  pager.secret = secret;
  await sql`
    select bulwark.set_alert_rule(${rule}, ${rule}, 'last', 100, 500, time_window => '10 minutes',
      lasting => '0', recovering => '0', cool_down => '0')`;
  const level = async (value: number) => {
    const point = new Point();
    point.observe(value);
    await record(sql, rule, "gauge", point);
  };
  try {
    await level(250);
    confirm(
      "250 jobs wait where 100 are too many: the alert arrived and verifies",
      await pager.about(rule, "security.alert_warning"),
      { severity: "warning", fault: null },
    );
    await level(30);
    confirm(
      "30 jobs wait: that it is over arrived and verifies",
      await pager.about(rule, "security.alert_warning.resolved"),
      { severity: "warning", fault: null },
    );
  } finally {
    await sql`delete from bulwark_private.alert_rules where name = ${rule}`;
    await sql`select bulwark.delete_webhook_endpoint(${endpoint_id})`;
    await sql`select bulwark.revoke_role(${otto.id}, 'super_admin')`;
  }
}

/** The database as a superuser; closed at the end. */
function openDatabase(place: Place) {
  const sql = postgres(place.superuserUrl, { max: 1, onnotice: () => {} });
  return { sql, [Symbol.asyncDispose]: () => sql.end() };
}

/** A receiver that verifies, stores ids, and can be switched off. */
function openReceiver() {
  const arrivals: Arrival[] = [];
  const ids = new Set<string>();
  const seen = { remember: (id: string) => Promise.resolve(ids.size < ids.add(id).size) };
  let last: Request | undefined;
  const judge = async (request: Request) => {
    try {
      await verifyWebhook(request, [receiver.secret], seen);
      return null;
    } catch (thrown) {
      if (thrown instanceof WebhookRefused) return thrown.fault;
      throw thrown;
    }
  };
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      const copy = new Request(request.url, {
        method: "POST",
        headers: request.headers,
        body: await request.text(),
      });
      const { type, severity, data } = await copy.clone().json();
      const id = request.headers.get("webhook-id") ?? "";
      const told = { id, type, severity, subject: data?.subject };
      if (receiver.failures > 0) {
        receiver.failures--;
        arrivals.push({ ...told, fault: "down" });
        return new Response("down", { status: 503 });
      }
      last = copy.clone();
      // Until the secret is known the receiver cannot verify; the test waits for it.
      arrivals.push({ ...told, fault: await judge(copy) });
      return new Response("thank you");
    },
  );
  const receiver = {
    url: `http://127.0.0.1:${server.addr.port}/hook`,
    secret: "",
    failures: 0,
    arrivals,
    /** Request number `index` (from 0). */
    async next(index: number) {
      await until(() => arrivals.length > index);
      const { type, fault } = arrivals[index]!;
      return { type, fault };
    },
    /** Requests of a type about a subject. */
    async about(subject: string, type: string) {
      const found = () => arrivals.find((a) => a.subject === subject && a.type === type);
      await until(() => found() !== undefined);
      const { severity, fault } = found()!;
      return { severity, fault };
    },
    /** The receiver's verdict on the last request with another body. */
    async forge() {
      const { headers } = last!;
      return await judge(new Request("http://x/", { method: "POST", headers, body: "{}" }));
    },
    async [Symbol.asyncDispose]() {
      await server.shutdown();
    },
  };
  return receiver;
}

async function call(place: Place, visitor: Visitor, path: string, body?: unknown) {
  const { data } = await visitor.client.auth.getSession();
  const answer = await fetch(`${place.url}/functions/v1/bulwark-webhooks/${path}`, {
    method: "POST",
    headers: {
      apikey: place.publishableKey,
      authorization: `Bearer ${data.session?.access_token}`,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: answer.status, body: await answer.json() as Record<string, unknown> };
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let waited = 0; !await holds(); waited += 50) {
    if (waited > 60_000) throw new Failure("TOUR", "waited a minute for a delivery");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function confirm(says: string, got: unknown, wanted: unknown): void {
  try {
    assert.deepEqual(got, wanted);
  } catch {
    throw new Failure(
      "TOUR",
      `${says}: expected ${JSON.stringify(wanted)}, got ${JSON.stringify(got)}`,
    );
  }
  console.log(`  ok       ${says}`);
}
