/**
 * Function `bulwark-webhooks` over HTTP: endpoints, their rights, and arrival at real receivers.
 */
import assert from "node:assert/strict";
import {
  callFunction,
  connect,
  createOrganization,
  join,
  ok,
  schedulerSecret,
  signUp,
} from "../support.ts";
import { call, cause, endpoint, receive, set, until, verified } from "./support.ts";

const nobody = "00000000-0000-4000-8000-000000000000";

Deno.test("WHK-F01: an audit entry arrives, signed, and says no more than it was asked to", async () => {
  const admin = await signUp("admin");
  const organization = await createOrganization(admin);
  await using receiver = receive();
  await using detailed = receive();
  const { secret } = await endpoint(admin, organization, receiver);
  const { secret: other } = await endpoint(admin, organization, detailed, {
    include_details: true,
  });
  ok(
    await admin.client.rpc("log_audit_event", {
      event_type: "data.read",
      organization_id: organization,
      resource_type: "public.reports",
      resource_id: "7",
      details: { why: "curiosity" },
    }),
  );
  await Promise.all([receiver, detailed].map(({ until }) => until(({ length }) => length > 0)));
  const [got] = receiver.received;
  assert.ok(got);
  const event = await verified(got, secret);
  assert.equal(event["type"], "audit.data.read");
  assert.equal(event["id"], got.id);
  const data = event["data"] as Record<string, unknown>;
  assert.equal(data["resource_id"], "7");
  assert.equal(data["actor_id"], admin.id);
  assert.equal(data["details"], undefined);
  await assert.rejects(verified(got, other));
  await assert.rejects(verified({ ...got, body: got.body.replace('"7"', '"8"') }, secret));
  const full = await verified(detailed.received[0]!, other);
  assert.deepEqual((full["data"] as Record<string, unknown>)["details"], { why: "curiosity" });
});

Deno.test("WHK-F02: an organization is told of its own events, and of those it asked for", async () => {
  const [ada, bob] = await Promise.all([signUp("ada"), signUp("bob")]);
  const [acme, globex] = await Promise.all([createOrganization(ada), createOrganization(bob)]);
  await using receiver = receive();
  const sql = connect(1);
  // An endpoint also gets entries that were not sealed when it subscribed.
  await sql`select bulwark.seal_audit_log()`;
  await endpoint(ada, acme, receiver, {
    subscriptions: [{ pattern: "audit.data.*", minimum_severity: "info" }],
  });
  await cause(globex, 1);
  await sql`select bulwark.log_audit_event('compliance.export', 'x', ${acme})`;
  await sql`select bulwark.log_audit_event('data.read', 'x', ${acme}, severity => 'debug')`;
  await sql`select bulwark.log_audit_event('data.export', 'x', ${acme}, severity => 'warning')`;
  await sql.end();
  await receiver.until(({ length }) => length === 1);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  assert.deepEqual(receiver.received.map(({ body }) => JSON.parse(body).type), [
    "audit.data.export",
  ]);
});

Deno.test("WHK-F03: an address that is not allowed is refused before anything is stored", async () => {
  const admin = await signUp("admin");
  const organization_id = await createOrganization(admin);
  const refused = [
    "http://example.com/",
    "https://10.0.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://user:pass@example.com/",
    "https://[::ffff:10.0.0.1]/",
    "ftp://example.com/",
    "https://db/",
    "https://0xa9fea9fe/",
    "nonsense",
  ];
  for (const address of refused) {
    const { status, body } = await call(admin, "POST", "endpoints", {
      organization_id,
      name: "x",
      url: address,
      subscriptions: [{ pattern: "*" }],
    });
    assert.equal(status, 400, address);
    assert.equal(body["code"], "WEBHOOK_URL_NOT_ALLOWED", address);
  }
  const stored = ok(await admin.client.from("webhook_endpoints").select("id"));
  assert.deepEqual(stored, []);
});

Deno.test("WHK-F04: nobody manages endpoints of an organization where they may not", async () => {
  const [admin, viewer, stranger] = await Promise.all(["a", "v", "s"].map(signUp));
  assert.ok(admin && viewer && stranger);
  const organization_id = await createOrganization(admin);
  await join(admin, organization_id, viewer, "viewer");
  await using receiver = receive();
  const { id } = await endpoint(admin, organization_id, receiver);
  const wanted = {
    organization_id,
    name: "x",
    url: receiver.url,
    subscriptions: [{ pattern: "*" }],
  };
  for (const person of [viewer, stranger]) {
    assert.equal((await call(person, "POST", "endpoints", wanted)).status, 403);
    assert.equal((await call(person, "POST", `endpoints/${id}/test`)).status, 404);
    assert.equal((await call(person, "POST", `endpoints/${id}/rotate`, {})).status, 404);
    const moved = await call(person, "PUT", `endpoints/${id}/destination`, { url: receiver.url });
    assert.equal(moved.status, 404);
    assert.deepEqual(ok(await person.client.from("webhook_endpoints").select("id")), []);
  }
  // Endpoints of the installation need a super_admin.
  const own = await call(admin, "POST", "endpoints", { ...wanted, organization_id: null });
  assert.equal(own.status, 403);
  assert.equal((await call(null, "POST", "endpoints", wanted)).status, 401);
  assert.equal((await call(admin, "POST", `endpoints/${nobody}/test`)).status, 404);
  assert.equal((await call(admin, "POST", "nowhere")).status, 404);
  assert.equal(receiver.received.length, 0);
});

Deno.test("WHK-F05: only the scheduler has deliveries made", async () => {
  const admin = await signUp("admin");
  for (const authorization of ["", "Bearer guess", `Bearer ${admin.token}`]) {
    const answer = await callFunction("webhooks/deliver", {
      method: "POST",
      headers: { authorization },
    });
    assert.equal(answer.status, 401);
    await answer.body?.cancel();
  }
  const answer = await callFunction("webhooks/deliver?wait_seconds=0", {
    method: "POST",
    token: schedulerSecret,
  });
  assert.equal(answer.status, 200);
  assert.deepEqual(Object.keys(await answer.json()), ["claimed", "delivered", "failed"]);
});

Deno.test("WHK-F06: no address and no secret is to be had from the database", async () => {
  const admin = await signUp("admin");
  const organization = await createOrganization(admin);
  await using receiver = receive();
  const { secret } = await endpoint(admin, organization, receiver, { include_details: true });
  const shown = JSON.stringify([
    ok(await admin.client.from("webhook_endpoints").select("*")),
    ok(await admin.client.from("audit_logs").select("*").eq("organization_id", organization)),
  ]);
  assert.ok(!shown.includes("/hook") && !shown.includes(secret), shown);
  assert.ok(shown.includes(new URL(receiver.url).origin));
  const sql = connect(1);
  const stored = await sql`
    select d.ciphertext from bulwark_private.webhook_destinations d
    union all select s.ciphertext from bulwark_private.webhook_secrets s
  `;
  await sql.end();
  assert.ok(stored.length >= 2);
  for (const { ciphertext } of stored) assert.match(ciphertext, /^bw1\.a256gcm\./);
});

Deno.test("WHK-F07: during a rotation both secrets verify, and afterwards the new one alone", async () => {
  const admin = await signUp("admin");
  const organization = await createOrganization(admin);
  await using receiver = receive();
  const { id, secret } = await endpoint(admin, organization, receiver);
  const rotated = await call(admin, "POST", `endpoints/${id}/rotate`, { overlap_seconds: 3600 });
  assert.equal(rotated.status, 200, JSON.stringify(rotated.body));
  const fresh = rotated.body["secret"] as string;
  assert.notEqual(fresh, secret);
  await call(admin, "POST", `endpoints/${id}/test`);
  await receiver.until(({ length }) => length === 1);
  await verified(receiver.received[0]!, secret);
  await verified(receiver.received[0]!, fresh);
  const last = await call(admin, "POST", `endpoints/${id}/rotate`, { overlap_seconds: 0 });
  await call(admin, "POST", `endpoints/${id}/test`);
  await receiver.until(({ length }) => length === 2);
  await verified(receiver.received[1]!, last.body["secret"] as string);
  for (const old of [secret, fresh]) await assert.rejects(verified(receiver.received[1]!, old));
});

Deno.test("WHK-F08: a test says at once how it went, also of an endpoint that is disabled", async () => {
  const admin = await signUp("admin");
  const organization = await createOrganization(admin);
  await using receiver = receive((_, index) =>
    index === 0 ? new Response("no such hook", { status: 404 }) : new Response("hello")
  );
  const { id, secret } = await endpoint(admin, organization, receiver);
  ok(
    await admin.client.rpc("disable_webhook_endpoint", { endpoint_id: id }).then((a) => ({
      ...a,
      data: true,
    })),
  );
  const failed = await call(admin, "POST", `endpoints/${id}/test`);
  assert.equal(failed.status, 200);
  assert.equal(failed.body["outcome"], "rejected");
  assert.equal(failed.body["status"], 404);
  assert.equal(failed.body["response"], "no such hook");
  const passed = await call(admin, "POST", `endpoints/${id}/test`);
  assert.equal(passed.body["outcome"], "delivered");
  assert.ok(Number(passed.body["latency_ms"]) >= 0);
  const event = await verified(receiver.received[1]!, secret);
  assert.equal(event["type"], "webhook.test");
});

Deno.test("WHK-F09: a receiver that answers 500 and then 200 gets the same id twice", async () => {
  await set({ retry_base_seconds: 0.1, retry_factor: 1 });
  const admin = await signUp("admin");
  const organization = await createOrganization(admin);
  await using receiver = receive((_, index) =>
    index === 0 ? new Response("not now", { status: 500 }) : new Response("thank you")
  );
  const { secret } = await endpoint(admin, organization, receiver);
  await cause(organization, 1);
  await receiver.until(({ length }) => length === 2);
  const [first, second] = receiver.received;
  assert.equal(first?.id, second?.id);
  await verified(first!, secret);
  await verified(second!, secret);
  assert.equal(first?.body, second?.body);
  const log = async () =>
    ok(
      await admin.client.from("webhook_attempts").select("number, outcome, status, response")
        .eq("delivery_id", first?.id ?? "").order("number"),
    );
  await until(async () => (await log()).length === 2);
  assert.deepEqual(await log(), [
    { number: 1, outcome: "rejected", status: 500, response: "not now" },
    { number: 2, outcome: "delivered", status: 200, response: "thank you" },
  ]);
});

Deno.test("WHK-F10: an address may be moved, and the delivery goes to the new one", async () => {
  const admin = await signUp("admin");
  const organization = await createOrganization(admin);
  await using old = receive();
  await using fresh = receive();
  const { id } = await endpoint(admin, organization, old);
  const moved = await call(admin, "PUT", `endpoints/${id}/destination`, { url: fresh.url });
  assert.equal(moved.status, 204);
  await cause(organization, 1);
  await fresh.until(({ length }) => length === 1);
  assert.equal(old.received.length, 0);
});

Deno.test("WHK-F11: Slack and PagerDuty get what they understand", async () => {
  const admin = await signUp("admin");
  const organization = await createOrganization(admin);
  await using slack = receive(() => new Response("ok"));
  await using pagerduty = receive(() => Response.json({ status: "success" }, { status: 202 }));
  await endpoint(admin, organization, slack, { format: "slack" });
  const routing_key = "R0UT1NGK3YR0UT1NGK3YR0UT1NGK3Y00";
  await endpoint(admin, organization, pagerduty, { format: "pagerduty", routing_key });
  await cause(organization, 1);
  await Promise.all([slack, pagerduty].map(({ until }) => until(({ length }) => length === 1)));
  assert.match(JSON.parse(slack.received[0]!.body).text, /audit\.data\.read/);
  const incident = JSON.parse(pagerduty.received[0]!.body);
  assert.equal(incident.routing_key, routing_key);
  assert.equal(incident.event_action, "trigger");
  const without = await call(admin, "POST", "endpoints", {
    organization_id: organization,
    name: "x",
    format: "pagerduty",
    url: pagerduty.url,
    subscriptions: [{ pattern: "*" }],
  });
  assert.equal(without.status, 400, "PagerDuty needs a routing key");
});

Deno.test("WHK-F12: a security event is told when it is raised and when it is resolved", async () => {
  const admin = await signUp("admin");
  const organization = await createOrganization(admin);
  await using receiver = receive();
  const { secret } = await endpoint(admin, organization, receiver, {
    subscriptions: [{ pattern: "security.*", minimum_severity: "warning" }],
  });
  const sql = connect(1);
  const [raised] = await sql`
    select bulwark.raise_security_event('brute_force', ${organization}, null, 'somebody') as id
  `;
  await sql.end();
  await receiver.until(({ length }) => length === 1);
  ok(
    await admin.client.rpc("resolve_security_event", {
      event_id: raised?.["id"],
      note: "It was me",
    }),
  );
  await receiver.until(({ length }) => length === 2);
  const events = await Promise.all(receiver.received.map((got) => verified(got, secret)));
  assert.deepEqual(events.map(({ type, severity }) => [type, severity]), [
    ["security.brute_force", "error"],
    ["security.brute_force.resolved", "error"],
  ]);
  for (const { data } of events) {
    assert.equal((data as Record<string, unknown>)["id"], raised?.["id"]);
  }
});

Deno.test("WHK-F14: an organization has as many endpoints as it may, however many are made at once", async () => {
  const admin = await signUp("admin");
  const organization_id = await createOrganization(admin);
  const answers = await Promise.all(
    Array.from({ length: 32 }, () =>
      call(admin, "POST", "endpoints", {
        organization_id,
        name: "x",
        url: "https://example.com/",
        subscriptions: [{ pattern: "audit.data.export" }],
      })),
  );
  const codes = answers.map(({ status, body }) => body["code"] ?? status).sort();
  assert.deepEqual(codes, [
    ...Array(25).fill(201),
    ...Array(7).fill("WEBHOOK_TOO_MANY_ENDPOINTS"),
  ]);
});

Deno.test("WHK-F15: the test button sends at most ten samples a minute, for members with webhook:manage", async () => {
  const [admin, other] = await Promise.all([signUp("admin"), signUp("other")]);
  const organization = await createOrganization(admin);
  await createOrganization(other);
  await using receiver = receive();
  const { id } = await endpoint(admin, organization, receiver);
  const press = () => call(admin, "POST", `endpoints/${id}/test`);
  const answers = await Promise.all(Array.from({ length: 12 }, press));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [
    ...Array(10).fill(200),
    429,
    429,
  ]);
  const refused = answers.find(({ status }) => status === 429);
  assert.equal(refused?.body["code"], "WEBHOOK_TOO_MANY_TESTS");
  assert.equal((await call(other, "POST", `endpoints/${id}/test`)).status, 404);
  await receiver.until(({ length }) => length === 10);
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.equal(receiver.received.length, 10);
});

Deno.test("WHK-F16: an administrator who is no longer one manages and reads nothing, with the old token", async () => {
  const [admin, second] = await Promise.all([signUp("admin"), signUp("second")]);
  const organization_id = await createOrganization(admin);
  await join(admin, organization_id, second, "admin");
  await using receiver = receive();
  const { id } = await endpoint(second, organization_id, receiver);
  await cause(organization_id, 1);
  await receiver.until(({ length }) => length === 1);
  const seen = async () =>
    ok(await second.client.from("webhook_attempts").select("id")).length +
    ok(await second.client.from("webhook_deliveries").select("id")).length;
  await until(async () => await seen() === 2);
  ok(
    await admin.client.rpc("revoke_role", { user_id: second.id, role: "admin", organization_id })
      .then((answer) => ({ ...answer, data: true })),
  );
  assert.equal(await seen(), 0);
  const { error } = await second.client.rpc("replay_webhook_delivery", {
    delivery_id: receiver.received[0]?.id ?? "",
  });
  assert.equal(error?.details, "WEBHOOK_UNKNOWN_DELIVERY");
  for (const path of ["test", "rotate"]) {
    assert.equal((await call(second, "POST", `endpoints/${id}/${path}`, {})).status, 404);
  }
});

Deno.test("WHK-F13: bad input is a clear error and never a stack trace", async () => {
  const admin = await signUp("admin");
  const organization_id = await createOrganization(admin);
  const good = {
    organization_id,
    name: "x",
    url: "https://example.com/",
    subscriptions: [{ pattern: "*" }],
  };
  const cases: [unknown, string][] = [
    [{ ...good, surplus: 1 }, "INVALID_INPUT"],
    [{ ...good, name: "" }, "INVALID_INPUT"],
    [{ ...good, subscriptions: [] }, "INVALID_INPUT"],
    [{ ...good, subscriptions: [{ pattern: "*", minimum_severity: "loud" }] }, "INVALID_INPUT"],
    [{ ...good, format: "xml" }, "INVALID_INPUT"],
    [{ ...good, routing_key: "R0UT1NGK3YR0UT1NGK3Y" }, "INVALID_INPUT"],
    [{ ...good, subscriptions: [{ pattern: "audit.*; drop" }] }, "WEBHOOK_INVALID_SUBSCRIPTION"],
    [{ ...good, subscriptions: [{ pattern: "system.*" }] }, "WEBHOOK_INVALID_SUBSCRIPTION"],
  ];
  for (const [body, code] of cases) {
    const answer = await call(admin, "POST", "endpoints", body);
    assert.equal(answer.status, 400, JSON.stringify(answer.body));
    assert.equal(answer.body["code"], code);
  }
});

Deno.test("WHK-F17: an invitation arrives with a token that nobody else has, and is accepted", async () => {
  const [operator, admin, invitee] = await Promise.all(
    ["operator", "admin", "invitee"].map((name) => signUp(name)),
  );
  assert.ok(operator && admin && invitee);
  const organization = await createOrganization(admin);
  const sql = connect(1);
  await sql`select bulwark.grant_role(${operator.id}, 'super_admin')`;
  await sql`
    update bulwark.settings set value = '"https://app.example.com/#token={token}"'
    where name = 'webhooks.invitation_link'
  `;
  // The receiver repeats what it gets, which must not reach the delivery log.
  await using receiver = receive(({ body }) => new Response(body));
  const { id, secret } = await endpoint(operator, null, receiver, {
    subscriptions: [{ pattern: "invitation.created" }],
  });
  const [sent] = ok(
    await admin.client.rpc("invite_member", {
      organization_id: organization,
      email: invitee.email,
      role: "viewer",
    }),
  );
  assert.equal(sent?.token, null);
  await receiver.until(({ length }) => length > 0);
  const { data } = await verified(receiver.received[0]!, secret) as {
    data: { email: string; token: string; link: string };
  };
  assert.equal(data.email, invitee.email);
  assert.equal(data.link, `https://app.example.com/#token=${data.token}`);
  ok(await invitee.client.rpc("accept_invitation", { token: data.token }));
  let response = "";
  await until(async () => {
    const [attempt] = await sql`
      select a.response from bulwark.webhook_attempts a
      join bulwark.webhook_deliveries d on d.id = a.delivery_id
      where d.endpoint_id = ${id}
    `;
    response = attempt?.response ?? "";
    return response !== "";
  });
  assert.ok(response.includes(invitee.email) && !response.includes(data.token));
  await sql`select bulwark.delete_webhook_endpoint(${id})`;
  await sql.end();
});
