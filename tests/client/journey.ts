/**
 * Calls everything that the client has, as the people of two organizations and a super_admin, and
 * records the answers. It runs on any runtime: its caller opens the clients.
 */
import { HOTP, Secret } from "otpauth";
import type { BulwarkError, Client, Permission, SupabaseLike } from "../../clients/js/src/index.ts";

/** Somebody who is signed in. */
export interface Traveller {
  id: string;
  email: string;
  password: string;
  token: string;
}

/** Where the journey goes, and who goes. */
export interface Place {
  url: string;
  publishableKey: string;
  secretKey: string;
  schedulerSecret: string;
  /** Receives webhooks and answers 204. */
  receiver: string;
  /** The administrators of two organizations, a member of the first, and a super_admin. */
  ada: Traveller;
  bob: Traveller;
  mia: Traveller;
  root: Traveller;
}

/** Opens clients as this runtime does. */
export interface Runtime {
  createBulwark: typeof import("../../clients/js/src/index.ts").createBulwark;
  /** A client of Supabase with a token, for the host's own tables too. */
  connect(token: string): SupabaseLike;
}

/** A call: its path, and the data of an answer. */
export interface Recorded {
  path: string;
  data?: unknown;
}

type Bulwark = Client<true>;

export async function journey(runtime: Runtime, place: Place): Promise<Recorded[]> {
  const recorded: Recorded[] = [];
  const as = (person: Traveller) => {
    const supabase = runtime.connect(person.token);
    return recording(runtime.createBulwark(supabase, { throwOnError: true }), recorded);
  };
  const [ada, bob, mia, root] = [as(place.ada), as(place.bob), as(place.mia), as(place.root)];
  const acme = await ada.organizations.create({ name: "Acme", slug: slug() });
  const globex = await bob.organizations.create({ name: "Globex", slug: slug() });

  await organizations(ada, bob, acme.id, globex.id);
  await people(ada, bob, mia, place, acme.id);
  await mfa(mia, place, acme.id);
  await policies(ada, mia, place, acme.id);
  await apiKeys(ada, acme.id);
  await webhooks(ada, bob, acme.id, place.receiver);
  await audit(ada, root, place, acme.id, globex.id);
  await security(ada, bob, root, place, acme.id);
  await limits(root, acme.id);
  await metrics(root);
  await encryption(ada, root, runtime.connect(place.ada.token), acme);
  await signIn(runtime, place, recorded);
  await refused("RBAC_PERMISSION_DENIED", bob.organizations.delete(globex.id, globex.slug));
  await root.organizations.delete(globex.id, globex.slug);
  return recorded;
}

async function organizations(ada: Bulwark, bob: Bulwark, acme: string, globex: string) {
  equal((await ada.organizations.list()).map(({ id }) => id), [acme], "Ada sees hers alone");
  equal(await ada.organizations.get(globex), null, "Ada cannot see Bob's");
  equal((await ada.organizations.update(acme, { name: "Acme Ltd" })).name, "Acme Ltd");
  await refused("RBAC_PERMISSION_DENIED", bob.organizations.update(acme, { name: "Mine" }));
  equal(await ada.can("org:update", acme), true);
  equal(await ada.can("org:update", globex), false);
  equal(await ada.can("system:admin"), false);
  const some = await ada.canAll(["audit:read", "system:admin"], acme);
  equal(some, { "audit:read": true, "system:admin": false });
  const { version, permissions } = await ada.permissions(acme);
  equal(permissions?.includes("audit:read"), true);
  equal(await ada.permissions(acme, version), { version, permissions: null });
}

async function people(ada: Bulwark, bob: Bulwark, mia: Bulwark, place: Place, acme: string) {
  const { token } = await ada.invitations.create(acme, { email: place.mia.email, role: "viewer" });
  await refused("RBAC_INVITATION_INVALID", bob.invitations.accept(token));
  equal((await mia.invitations.accept(token)).organization_id, acme);
  const email = "nobody@people.test";
  const { invitation_id } = await ada.invitations.create(acme, { email, role: "viewer" });
  await ada.invitations.revoke(invitation_id);
  equal((await ada.invitations.list(acme)).length, 2);
  equal(await bob.invitations.list(acme), []);

  const organization = acme;
  const scopes: Permission[] = ["analytics:read"];
  const made = await ada.roles.create(acme, { name: "auditor", permissions: ["audit:read"] });
  equal(made.organization_id, acme);
  await ada.roles.update(acme, "auditor", { description: "Reads", permissions: scopes });
  const expires_at = new Date(Date.now() + 86_400_000).toISOString();
  await ada.roles.grant({ user: place.mia.id, role: "auditor", organization, expires_at });
  await refused(
    "RBAC_PERMISSION_DENIED",
    bob.roles.grant({ user: place.mia.id, role: "viewer", organization }),
  );
  equal((await ada.roles.of(place.mia.id, acme)).map(({ role }) => role), ["viewer", "auditor"]);
  await ada.roles.explain(place.mia.id, "analytics:read", acme);
  await ada.roles.explain(place.mia.id, "audit:read", acme);
  await ada.roles.revoke({ user: place.mia.id, role: "auditor", organization });
  await ada.roles.delete(acme, "auditor");
  equal((await bob.roles.list(acme)).every((role) => role.organization_id === null), true);
  equal((await ada.members.grants(acme)).length, 2);
  equal(await bob.members.grants(acme), []);
  await members(ada, bob, mia, place, acme);
}

async function members(ada: Bulwark, bob: Bulwark, mia: Bulwark, place: Place, acme: string) {
  const me = await ada.whoami();
  equal(me.organizations.map(({ id }) => id), [acme]);
  equal(await ada.whoami(me.version), null);
  equal(
    (await mia.whoami()).organizations[0]?.permissions.includes("org:update"),
    false,
    "a viewer",
  );
  await ada.members.setRoles(acme, place.mia.id, ["analyst", "viewer"]);
  await refused(
    "RBAC_PERMISSION_DENIED",
    mia.members.setRoles(acme, place.mia.id, ["administrator"]),
  );
  equal((await ada.members.list(acme, { search: place.mia.email })).length, 1);
  const all = [];
  for await (const { user_id } of ada.members.all(acme, { page_size: 1 })) all.push(user_id);
  equal([...all].sort(), [place.ada.id, place.mia.id].sort());
  await refused("RBAC_PERMISSION_DENIED", bob.members.list(acme));
  equal((await ada.members.names(acme, [place.mia.id])).map(({ is_member }) => is_member), [true]);
  await ada.members.remove(acme, place.mia.id);
  for (let time = 0; time < 2; time++) {
    const { token } = await ada.invitations.create(acme, {
      email: place.mia.email,
      role: "viewer",
    });
    await mia.invitations.accept(token);
    if (time === 0) await mia.organizations.leave(acme);
  }
}

async function mfa(mia: Bulwark, place: Place, acme: string) {
  equal((await mia.mfa.status()).enrolled, false);
  equal(await mia.mfa.required(acme), false);
  const { secret } = await mia.mfa.enroll("Phone");
  await refused("MFA_INVALID_CODE", mia.mfa.activate("x"));
  const { backup_codes } = await mia.mfa.activate(codeOf(secret));
  equal(backup_codes?.length, 10);
  await mia.mfa.verify(codeOf(secret, 1));
  await mia.mfa.verifyBackupCode(backup_codes?.[0] ?? "");
  const { backup_codes: fresh } = await mia.mfa.newBackupCodes();
  await mia.mfa.verify(fresh[0] ?? "");
  const device = await mia.mfa.trustDevice("Laptop");
  equal(await mia.mfa.presentDevice(device.token), { trusted: true });
  await mia.mfa.enroll("Tablet");
  equal((await mia.mfa.status()).factors?.map(({ name }) => name), ["Phone"]);
  equal(await mia.mfa.revokeDevice(), { revoked: 1 });
  equal(place.mia.id.length, 36);
}

async function policies(ada: Bulwark, mia: Bulwark, place: Place, acme: string) {
  equal(await ada.mfa.policy(acme), null);
  await ada.mfa.setPolicy(acme, {
    required: true,
    grace_period: "10 days",
    reset_needs_approval: true,
  });
  equal((await ada.mfa.policy(acme))?.organization_id, acme);
  await refused("RBAC_PERMISSION_DENIED", mia.mfa.setPolicy(acme, { required: false }));
  // To reset another person's factors one has to verify one of one's own.
  const { secret } = await ada.mfa.enroll();
  await ada.mfa.activate(codeOf(secret));
  const reason = "lost the phone";
  const user_id = place.mia.id;
  const { reset_id } = await ada.mfa.requestReset({ user_id, organization_id: acme, reason });
  await refused("MFA_OWN_REQUEST", ada.mfa.approveReset(reset_id));
  equal((await ada.mfa.resets()).map(({ id }) => id), [reset_id]);
  await ada.mfa.cancelReset(reset_id);
  const { backup_codes } = await mia.mfa.newBackupCodes();
  await mia.mfa.disable({ backup_code: backup_codes[0] ?? "" });
}

async function apiKeys(ada: Bulwark, acme: string) {
  equal(await ada.apiKeys.policy(acme), null);
  await ada.apiKeys.setPolicy(acme, { allowed: true, max_days: 30 });
  equal((await ada.apiKeys.policy(acme))?.max_days, 30);
  const key = await ada.apiKeys.create(acme, {
    name: "import",
    scopes: ["analytics:read"],
    networks: ["203.0.113.0/24"],
  });
  const successor = await ada.apiKeys.rotate(key.id, { overlap: "1 hour" });
  equal((await ada.apiKeys.revoke(successor.id, "over")).revoked_because, "over");
  await ada.apiKeys.create(acme, { name: "export", scopes: ["analytics:read"] });
  equal((await ada.apiKeys.list(acme, { include_ended: true })).length, 3);
  await refused(
    "API_KEY_INVALID_NAME",
    ada.apiKeys.create(acme, { name: "", scopes: ["analytics:read"] }),
  );
}

async function webhooks(ada: Bulwark, bob: Bulwark, acme: string, receiver: string) {
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
  await ada.webhooks.attempts(delivery_id);
  await refused("WEBHOOK_UNKNOWN_DELIVERY", bob.webhooks.replay(delivery_id));
  await eventually(async () => {
    const delivered = await ada.webhooks.deliveries(id, { statuses: ["delivered"], before: now() });
    return delivered.some((delivery) => delivery.id === delivery_id);
  });
  await ada.webhooks.replay(delivery_id);
  await ada.webhooks.replayRange(id, { since: "2026-01-01T00:00:00Z", until: now() });
  await ada.webhooks.disable(id);
  await ada.webhooks.enable(id);
  await ada.webhooks.delete(id);
}

async function audit(
  ada: Bulwark,
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
  const resumed: string[] = [];
  const asked = { organization_id: acme, ...(all[2] ? { before: all[2] } : {}) };
  for await (const entry of ada.audit.entries(asked)) resumed.push(entry.id);
  equal(resumed, all.slice(3), "an id resumes");
  await refused(
    "AUDIT_NOT_A_MEMBER",
    ada.audit.log({ event_type: "data.read", organization_id: globex }),
  );

  await sealed(place);
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

async function security(
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
  equal(await bob.security.list(acme), []);
  await root.security.list(null, { include_resolved: true });
  const id = events[0]?.id ?? "";
  equal((await ada.security.assign(id, place.ada.id)).assigned_to, place.ada.id);
  equal((await ada.security.assign(id, null)).assigned_to, null);
  await refused("SECURITY_EVENT_NOT_FOUND", bob.security.resolve(id, "mine"));
  equal((await ada.security.resolve(id, "harmless")).resolved_by, place.ada.id);
  await ada.security.types();
}

async function limits(root: Bulwark, acme: string) {
  await root.limits.rules();
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

async function metrics(root: Bulwark) {
  const metric = await eventually(async () => (await root.metrics.list())[0]?.name);
  const since = new Date(Date.now() - 3_600_000).toISOString();
  await root.metrics.read(metric, { since });
  await root.metrics.read(metric, { since, step: "1 minute" });
  await root.metrics.topQueries(5);
  const name = `slow_${byte()}_${byte()}`;
  await root.metrics.setAlert({ name, metric, statistic: "last", warning: 1e9 });
  equal((await root.metrics.alerts()).some((alert) => alert.name === name), true);
  await root.metrics.deleteAlert(name);
}

async function encryption(
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
  await root.encryption.progress(null);
  await root.encryption.keys();
  await refused("RBAC_PERMISSION_DENIED", ada.encryption.shred(organization_id, slug));
  equal(await root.encryption.shred(organization_id, slug) > 0, true);
  await refused(
    "ENCRYPTION_KEY_DESTROYED",
    ada.encryption.encrypt({ table, organization_id, rows }),
  );
}

async function signIn(runtime: Runtime, place: Place, recorded: Recorded[]) {
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

/** Seals all entries and signs the log's head. */
async function sealed(place: Place) {
  await service(place, "seal_audit_log", {});
  const answer = await fetch(`${place.url}/functions/v1/bulwark-audit/checkpoint`, {
    method: "POST",
    headers: { apikey: place.publishableKey, authorization: `Bearer ${place.schedulerSecret}` },
  });
  equal(answer.status, 200, await answer.text());
}

async function service(place: Place, name: string, body: object) {
  const answer = await fetch(`${place.url}/rest/v1/rpc/${name}`, {
    method: "POST",
    headers: {
      apikey: place.secretKey,
      authorization: `Bearer ${place.secretKey}`,
      "content-type": "application/json",
      "content-profile": "bulwark",
    },
    body: JSON.stringify(body),
  });
  const text = await answer.text();
  equal(answer.ok, true, text);
}

/** A client that records the answers of its calls; streams and refusals by name alone. */
function recording<Part extends object>(part: Part, recorded: Recorded[], above = ""): Part {
  return Object.fromEntries(
    Object.entries(part).map(([name, value]) => {
      const path = above + name;
      if (typeof value === "object") return [name, recording(value, recorded, `${path}.`)];
      return [name, (...args: unknown[]) => {
        const answer = value(...args);
        if (!(answer instanceof Promise)) recorded.push({ path });
        else answer.then((data) => recorded.push({ path, data }), () => recorded.push({ path }));
        return answer;
      }];
    }),
  ) as Part;
}

/** The code of an authenticator app, some steps ahead. */
function codeOf(secret: string, ahead = 0): string {
  const counter = Math.floor(Date.now() / 30_000) + ahead;
  return HOTP.generate({ secret: Secret.fromBase32(secret), counter, digits: 6 });
}

function byte(): number {
  return crypto.getRandomValues(new Uint8Array(1))[0] ?? 0;
}

function slug(): string {
  return `org-${crypto.randomUUID().slice(0, 13)}`;
}

function now(): string {
  return new Date().toISOString();
}

async function eventually<Value>(look: () => Promise<Value>): Promise<NonNullable<Value>> {
  for (let attempt = 0; attempt < 300; attempt++) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("it did not happen within 30 seconds");
}

async function refused(code: BulwarkError["code"], call: Promise<unknown>) {
  const thrown = await call.then(() => null, (thrown: unknown) => thrown);
  const { name, code: found } = (thrown ?? {}) as BulwarkError;
  equal([name, found], ["BulwarkError", code], String(thrown));
}

function equal(found: unknown, expected: unknown, message = "") {
  const [one, other] = [JSON.stringify(found), JSON.stringify(expected)];
  if (one !== other) throw new Error(`${message}: found ${one}, expected ${other}`);
}
