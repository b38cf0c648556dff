/** The journey: the log, events, limits, metrics, encryption and webhooks. */
import type { SupabaseLike } from "../../clients/js/src/index.ts";
import {
  type Bulwark,
  byte,
  equal,
  eventually,
  now,
  type Place,
  type Recorded,
  recording,
  refused,
  type Runtime,
  sealed,
  service,
} from "./steps.ts";

export async function webhooks(ada: Bulwark, bob: Bulwark, acme: string, receiver: string) {
  const subscriptions = [{ pattern: "audit.*" }];
  const url = receiver;
  const asked = { organization_id: acme, name: "Hook", url, subscriptions };
  await refused("RBAC_PERMISSION_DENIED", bob.webhooks.create(asked));
  const { id } = await ada.webhooks.create(asked);
  equal((await ada.webhooks.list(acme)).map((endpoint) => endpoint.id), [id]);
  equal(await ada.webhooks.list(null), []);
  equal(await bob.webhooks.get(id), null);
  await ada.webhooks.get(id);
  await ada.webhooks.update(id, { name: "Moved", subscriptions: [{ pattern: "security.*" }] });
  equal((await ada.webhooks.subscriptions(id)).map(({ pattern }) => pattern), ["security.*"]);
  await ada.webhooks.move(id, { url: `${url}other` });
  await ada.webhooks.rotateSecret(id);
  await ada.webhooks.rotateSecret(id, { overlap_seconds: 0 });
  const { delivery_id } = await ada.webhooks.test(id);
  await ada.webhooks.health(id);
  equal((await ada.webhooks.stats(acme)).map(({ endpoint_id }) => endpoint_id), [id]);
  await ada.webhooks.stats(acme, now());
  await ada.webhooks.attempts(delivery_id);
  const { entries: [entry] } = await ada.audit.search({ organization_id: acme, page_size: 1 });
  equal((await ada.webhooks.preview(id, entry?.id ?? "")).subscribed, false);
  await refused("WEBHOOK_UNKNOWN_DELIVERY", bob.webhooks.replay(delivery_id));
  await eventually(async () => {
    const delivered = await ada.webhooks.deliveries(id, { statuses: ["delivered"] });
    return delivered.some((delivery) => delivery.id === delivery_id);
  });
  await ada.webhooks.test(id);
  const log = [];
  for await (const delivery of ada.webhooks.log(id, { page_size: 1 })) log.push(delivery.sequence);
  equal(log, [...log].sort((a, b) => b - a));
  equal(log.length >= 2, true, "page by page");
  const [, next] = await ada.webhooks.deliveries(id);
  equal((await ada.webhooks.deliveries(id, { before: log[0] }))[0]?.id, next?.id);
  await ada.webhooks.replay(delivery_id);
  await ada.webhooks.replayRange(id, { since: "2026-01-01T00:00:00Z", until: now() });
  await ada.webhooks.disable(id);
  await ada.webhooks.enable(id);
  await ada.webhooks.delete(id);
}

export async function audit(
  ada: Bulwark,
  bob: Bulwark,
  root: Bulwark,
  place: Place,
  acme: string,
  globex: string,
) {
  for (let number = 0; number < 5; number++) {
    await ada.audit.log({
      event_type: "data.read",
      organization_id: acme,
      action: `read "${number}"`,
      details: { number },
    });
  }
  const page = await ada.audit.search({ organization_id: acme, page_size: 2 });
  equal(page.entries.length, 2);
  const all: string[] = [];
  for await (const entry of ada.audit.entries({ organization_id: acme, page_size: 7 })) {
    all.push(entry.id);
  }
  equal(new Set(all).size, all.length, "no entry comes twice");
  equal(all.slice(0, 2), page.entries.map(({ id }) => id));
  const counted = { organization_id: acme, group_by: "event_type" };
  equal((await ada.audit.histogram(counted)).buckets.length > 0, true);
  equal((await ada.audit.histogram({ organization_id: acme })).buckets[0]?.label, null);
  const { cursor } = await ada.audit.tail(acme, undefined, 3);
  equal((await ada.audit.tail(acme, cursor)).entries, []);
  const resumed: string[] = [];
  const asked = { organization_id: acme, ...(all[2] ? { before: all[2] } : {}) };
  for await (const entry of ada.audit.entries(asked)) resumed.push(entry.id);
  equal(resumed, all.slice(3), "an id resumes");
  await refused(
    "AUDIT_NOT_A_MEMBER",
    ada.audit.log({ event_type: "data.read", organization_id: globex }),
  );

  equal((await ada.audit.get(acme, all[0] ?? ""))?.id, all[0]);
  equal(await bob.audit.get(acme, all[0] ?? ""), null, "the log of others is closed");
  await ada.audit.coverage(acme);
  await sealed(place);
  equal((await ada.audit.coverage(acme)).sealed_entries > 0, true);
  const { checkpoint, tree_size } = await ada.audit.proof(all[0] ?? "");
  equal(checkpoint?.includes("\n"), true);
  await ada.audit.consistency(1, tree_size);
  await ada.audit.checkpoint();
  equal((await ada.audit.verify(acme)).intact, true);
  await ada.audit.verify(acme, { max_entries: 1 });
  await root.audit.status();
  equal((await ada.audit.types()).length > 10, true);
  await exporting(ada, acme, all.length);
  const subject_id = place.mia.id;
  const hold = await root.audit.placeHold({ reason: "a claim", organization_id: acme, subject_id });
  await refused("AUDIT_LEGAL_HOLD", root.audit.erase({ user_id: subject_id, reason: "asked" }));
  equal((await root.audit.holds()).some(({ id }) => id === hold), true);
  await root.audit.releaseHold(hold);
  await root.audit.erase({ user_id: subject_id, reason: "asked", organization_id: acme });
}

/** In parts of four entries: interrupted and resumed, and whole, with the same entries. */
async function exporting(ada: Bulwark, organization: string, atLeast: number) {
  const page_size = 4;
  let cursor: string | null = null;
  const reader = ada.audit.export({
    organization,
    page_size,
    onProgress: (progress) => cursor = progress.cursor,
  }).getReader();
  const decoder = new TextDecoder();
  let text = decoder.decode((await reader.read()).value);
  await reader.cancel();
  let entries = 0;
  let done = false;
  const rest = ada.audit.export({
    organization,
    page_size,
    cursor,
    onProgress: (progress) => ({ entries, done } = progress),
  });
  text += await new Response(rest).text();
  equal(done, true);
  const ids = (lines: string) =>
    lines.split("\n").filter((line) => line.startsWith('{"type":"entry"'))
      .map((line) => JSON.parse(line).id);
  const whole = await new Response(ada.audit.export({ organization })).text();
  equal(ids(text), ids(whole));
  equal(entries + page_size, ids(whole).length);
  equal(entries + page_size >= atLeast, true);
  for (const format of ["csv", "ocsf"] as const) {
    let counted = 0;
    const stream = ada.audit.export({
      organization,
      format,
      page_size,
      onProgress: (progress) => counted = progress.entries,
    });
    const list = await new Response(stream).text();
    equal(counted >= ids(whole).length, true, `${format}: ${counted}`);
    if (format === "csv") equal(list.match(/^id,occurred_at/gm)?.length, 1, "one header");
  }
  const refusal = new Response(ada.audit.export({ organization: crypto.randomUUID() })).text();
  await refused("RBAC_PERMISSION_DENIED", refusal);
}

export async function security(
  ada: Bulwark,
  bob: Bulwark,
  root: Bulwark,
  place: Place,
  acme: string,
) {
  for (const subject of ["one", "two", "three"]) {
    await service(place, "report_security_event", {
      event_type: "breach_attempt",
      organization_id: acme,
      subject,
    });
  }
  const events = [];
  for await (const event of ada.security.events(acme, { page_size: 2 })) events.push(event);
  equal(events.map(({ subject }) => subject).slice(0, 3), ["three", "two", "one"]);
  equal((await ada.security.list(acme)).length, events.length);
  const open = await ada.security.open(acme);
  equal(Object.values(open).reduce((sum, count) => sum + count, 0), events.length);
  equal(await bob.security.open(acme), { low: 0, medium: 0, high: 0, critical: 0 });
  await root.security.open(null);
  await refused("RBAC_PERMISSION_DENIED", bob.security.list(acme));
  await root.security.list(null, { include_resolved: true });
  const id = events[0]?.id ?? "";
  equal((await ada.security.assign(id, place.ada.id)).assigned_to, place.ada.id);
  equal((await ada.security.list(acme, { assignee: place.ada.id })).map((one) => one.id), [id]);
  equal((await ada.security.list(acme, { unassigned: true })).length, events.length - 1);
  equal((await ada.security.assign(id, null)).assigned_to, null);
  await refused("SECURITY_EVENT_NOT_FOUND", bob.security.resolve(id, "mine"));
  equal((await ada.security.resolve(id, "harmless")).resolved_by, place.ada.id);
  await ada.security.types();
}

export async function limits(ada: Bulwark, root: Bulwark, acme: string) {
  await root.limits.rules();
  equal((await ada.limits.usage(acme)).api_keys?.length, 2);
  await root.limits.usage(null);
  const [setting] = (await root.settings.list()).filter(({ accepts }) => accepts !== null);
  const { name = "", value = null } = setting ?? {};
  await root.settings.set(name, value);
  equal((await root.settings.list()).find((one) => one.name === name)?.value, value);
  await refused("RBAC_PERMISSION_DENIED", ada.settings.list());
  equal((await ada.sessions.list()).map(({ is_current }) => is_current), [true]);
  await refused("SESSION_NOT_FOUND", ada.sessions.end(crypto.randomUUID()));
  const override = { rule: "export", organization_id: acme };
  await root.limits.set({ ...override, capacity: 1000, window_seconds: 60 });
  equal((await root.limits.overrides()).some((one) => one.organization_id === acme), true);
  await root.limits.clear(override);
  const network = `10.${byte()}.${byte()}.0/24`;
  await root.limits.listNetwork({ network, verdict: "allow", reason: "an office" });
  equal((await root.limits.networks()).some((one) => one.network === network), true);
  await root.limits.unlistNetwork(network);
  await root.limits.blocks();
  await refused("RATE_LIMIT_UNKNOWN_BLOCK", root.limits.liftBlock(crypto.randomUUID()));
}

export async function metrics(root: Bulwark) {
  const metric = await eventually(async () => (await root.metrics.list())[0]?.name);
  const since = new Date(Date.now() - 3_600_000).toISOString();
  await root.metrics.read(metric, { since });
  await root.metrics.read(metric, { since, step: "1 minute" });
  await root.metrics.topQueries(5);
  const health = await root.metrics.health();
  equal(health.some(({ name, healthy }) => name === "seals" && healthy), true);
  const name = `slow_${byte()}_${byte()}`;
  await root.metrics.setAlert({ name, metric, statistic: "last", warning: 1e9 });
  equal((await root.metrics.alerts()).some((alert) => alert.name === name), true);
  await root.metrics.deleteAlert(name);
}

export async function encryption(
  ada: Bulwark,
  root: Bulwark,
  supabase: SupabaseLike,
  { id: organization_id, slug }: { id: string; slug: string },
) {
  const table = "contacts";
  const primary_key = crypto.randomUUID();
  const rows = [{ primary_key, fields: { email: "grace@people.test" } }];
  const { rows: [row] } = await ada.encryption.encrypt({ table, organization_id, rows });
  const contact = { id: primary_key, organization_id, name: "Grace", ...row?.fields };
  equal((await supabase.from(table).insert(contact)).error, null);
  const asked = { table, columns: ["email"], primary_keys: [primary_key] };
  equal((await ada.encryption.decrypt(asked)).rows, rows);
  const search = { table, organization_id, column: "email", value: "grace@people.test" };
  equal((await ada.encryption.find(search)).primary_keys, [primary_key]);
  await ada.encryption.rotate(organization_id);
  equal((await ada.encryption.progress(organization_id)).length > 0, true);
  equal((await ada.encryption.overview(organization_id)).keys.length > 0, true);
  equal(await ada.encryption.retry(organization_id), 0);
  await root.encryption.progress(null);
  await root.encryption.keys();
  await refused("RBAC_PERMISSION_DENIED", ada.encryption.shred(organization_id, slug));
  equal(await root.encryption.shred(organization_id, slug) > 0, true);
  await refused(
    "ENCRYPTION_KEY_DESTROYED",
    ada.encryption.encrypt({ table, organization_id, rows }),
  );
}

export async function signIn(runtime: Runtime, place: Place, recorded: Recorded[]) {
  const supabase = runtime.connect(place.publishableKey);
  let given: unknown;
  const remembering = {
    ...plain(supabase),
    auth: { setSession: (session: unknown) => Promise.resolve(given = session) },
  };
  const bulwark = recording(runtime.createBulwark(remembering, { throwOnError: true }), recorded);
  const { email, password } = place.ada;
  const session = await bulwark.signIn({ email, password });
  equal([session.user.id, given === session], [place.ada.id, true]);
  await refused("LOGIN_FAILED", bulwark.signIn({ email, password: "wrong" }));
}

function plain(supabase: SupabaseLike): SupabaseLike {
  return {
    rpc: (...args) => supabase.rpc(...args),
    from: (...args) => supabase.from(...args),
    functions: supabase.functions,
  };
}
