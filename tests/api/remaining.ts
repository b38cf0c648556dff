/** Calls of the operations that the client does not have: of servers, of policies, and of programs. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createPrivateKey, sign } from "node:crypto";
import { openSigner } from "../../supabase/functions/_bulwark/webhooks/signing.ts";
import { enroll, enrolled, signInAgain } from "../mfa/support.ts";
import {
  claimsOf,
  connect,
  createOrganization,
  join,
  mail,
  metricsToken,
  ok,
  publishableKey,
  scannerPrivateKey,
  schedulerSecret,
  signUp,
  url,
} from "../support.ts";
import { columnsOf } from "./answers.ts";
import { operations } from "./document.ts";

interface Call {
  token?: string;
  method?: string;
  body?: unknown;
  headers?: Record<string, string>;
}

/** Makes each of the calls once, through a fetch that examines the answers. */
export async function callRemaining(fetch: typeof globalThis.fetch): Promise<void> {
  const call = async (path: string, { token, method = "POST", body = {}, headers }: Call) => {
    const answer = await fetch(url + path, {
      method,
      headers: {
        apikey: publishableKey,
        "content-type": "application/json",
        "accept-profile": "bulwark",
        "content-profile": "bulwark",
        ...token ? { authorization: `Bearer ${token}` } : {},
        ...headers,
      },
      ...method === "GET" ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) },
    });
    const text = await answer.text();
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
    return /json/.test(answer.headers.get("content-type") ?? "") ? JSON.parse(text) : text;
  };
  const rpc = (token: string, name: string, body: object = {}) =>
    call(`/rest/v1/rpc/${name}`, { token, body });

  const [ada, bob, mia, lea, root] = [
    await enrolled("ada"),
    await enrolled("bob"),
    await signUp("mia"),
    await signUp("lea"),
    await signUp("root"),
  ];
  const organization_id = await createOrganization(ada);
  await join(ada, organization_id, bob, "admin");
  for (const viewer of [mia, lea]) await join(ada, organization_id, viewer, "viewer");
  const owner = connect(1);
  await owner`select bulwark.grant_role(${root.id}, 'super_admin')`;

  await questions();
  await schedulers();
  await programs();
  await secondFactors();
  await sessions();
  await endpoints();
  await invitations();
  await log();
  await blocks();
  for (const operation of operations) {
    const { method, path } = operation;
    if (method !== "GET" || !path.startsWith("/rest/v1/")) continue;
    await call(`${path}?limit=1&select=${columnsOf(operation)}`, { token: root.token, method });
  }
  await owner.end();

  async function questions() {
    const asked = { permission: "audit:read", organization_id };
    const query = new URLSearchParams(asked);
    await call(`/functions/v1/bulwark-rbac?${query}`, { token: ada.token, method: "GET" });
    const permissions = { permissions: ["audit:read"], organization_id };
    await call("/functions/v1/bulwark-rbac", { token: ada.token, body: permissions });
    assert.equal(await rpc(ada.token, "current_person"), ada.id);
    assert.equal(await rpc(ada.token, "is_super_admin"), false);
    assert.equal(await rpc(ada.token, "user_has_permission", { ...asked, user_id: mia.id }), false);
    await rpc(ada.token, "organization_id", { key: "1" });
    await rpc(ada.token, "member_organizations");
    await rpc(ada.token, "organizations_with", { permission: "audit:read" });
    await rpc(ada.token, "require_permission", asked);
    await rpc(ada.token, "rate_limit_caller");
    await rpc(ada.token, "check_request");
    await rpc(ada.token, "mfa_verified", { max_age: "10 minutes" });
    await rpc(ada.token, "authorize_field_access", {
      action: "decrypt",
      table_name: "public.contacts",
      columns: ["email"],
      primary_keys: ["1"],
      organization_id,
    });
  }

  async function schedulers() {
    const token = schedulerSecret;
    await call("/functions/v1/bulwark-audit/checkpoint", { token });
    await call("/functions/v1/bulwark-audit/archive", { token });
    await call("/functions/v1/bulwark-encryption/work", { token });
    await call("/functions/v1/bulwark-webhooks/deliver", { token });
    await call("/functions/v1/bulwark-metrics", { token: metricsToken, method: "GET" });
    await call("/functions/v1/bulwark-metrics/health", { method: "GET" });
    await rpc(root.token, "scrape_metrics");
  }

  async function programs() {
    const { api_key } = ok(
      await ada.client.rpc("create_api_key", {
        organization_id,
        name: "import",
        scopes: ["analytics:read"],
      }),
    );
    const headers = { "x-api-key": String(api_key) };
    await call("/functions/v1/bulwark-api-keys/token", { headers });
    const body = JSON.stringify([{ token: "none", type: "bulwark_api_key" }]);
    const key = createPrivateKey({
      key: Buffer.from(scannerPrivateKey, "base64"),
      format: "der",
      type: "pkcs8",
    });
    await call("/functions/v1/bulwark-api-keys/report", {
      body,
      headers: {
        "github-public-key-identifier": "local",
        "github-public-key-signature": sign("sha256", Buffer.from(body), key).toString("base64"),
      },
    });
  }

  async function secondFactors() {
    await rpc(mia.token, "begin_mfa_enrolment");
    await rpc(bob.token, "begin_mfa_attempt", { purpose: "verify" });
    await rpc(bob.token, "begin_backup_codes");
    const [{ token }] = await rpc(bob.token, "trust_device", { name: "Laptop" });
    assert.equal(await rpc(bob.token, "present_trusted_device", { token }), true);
    assert.equal(await rpc(bob.token, "revoke_trusted_device"), 1);
    await call("/functions/v1/bulwark-mfa", { token: bob.token, method: "GET" });
    for (const viewer of [mia, lea]) await enroll(viewer);
    ok(
      await ada.client.rpc("set_mfa_policy", {
        organization_id,
        required: false,
        reset_needs_approval: true,
      }),
    );
    const asked = { user_id: mia.id, reason: "Lost phone", organization_id };
    const [first] = await rpc(ada.token, "request_mfa_reset", asked);
    await rpc(ada.token, "cancel_mfa_reset", { reset_id: first.reset_id });
    const [second] = await rpc(ada.token, "request_mfa_reset", asked);
    assert.equal(await rpc(bob.token, "approve_mfa_reset", { reset_id: second.reset_id }), true);
    const [third] = await rpc(ada.token, "request_mfa_reset", { ...asked, user_id: lea.id });
    const approve = "/functions/v1/bulwark-mfa/resets/approve";
    const { completed } = await call(approve, {
      token: bob.token,
      body: { reset_id: third.reset_id },
    });
    assert.equal(completed, true);
    await rpc(bob.token, "remove_mfa_factor", { factor_id: bob.factorId });
  }

  async function sessions() {
    const other = await signInAgain(mia);
    await rpc(mia.token, "end_session", { session_id: claimsOf(other).session_id });
    const { status } = await other.client.rpc("whoami");
    assert.equal(status, 401, "it has ended");
  }

  async function endpoints() {
    const id = crypto.randomUUID();
    // In the form of what the function webhooks encrypts; nothing reads it here.
    const ciphertext = `bw1.a256gcm.${"A".repeat(22)}.${"B".repeat(120)}`;
    const destination = { origin: "https://receiver.example", destination: ciphertext };
    await rpc(ada.token, "create_webhook_endpoint", {
      id,
      organization_id,
      name: "Hook",
      ...destination,
      secret_id: crypto.randomUUID(),
      secret: ciphertext,
      subscriptions: [{ pattern: "security.*" }],
    });
    const endpoint_id = id;
    await rpc(ada.token, "set_webhook_destination", { endpoint_id, ...destination });
    const secret = { secret_id: crypto.randomUUID(), secret: ciphertext };
    await rpc(ada.token, "rotate_webhook_secret", { endpoint_id, ...secret });
    await rpc(ada.token, "send_test_webhook", { endpoint_id });
    const { entries: [entry] } = await rpc(ada.token, "search_audit_logs", { organization_id });
    await rpc(ada.token, "preview_webhook_delivery", { endpoint_id, event_id: entry.id });
    await rpc(ada.token, "delete_webhook_endpoint", { endpoint_id });
  }

  /** As the worker of webhooks delivers them, to a provider of e-mail in this process. */
  async function invitations() {
    const path = "/functions/v1/bulwark-webhooks/invitations";
    const data = {
      organization: { name: "Acme", slug: "acme" },
      email: "vic@people.test",
      role: "viewer",
      invited_by: null,
      expires_at: "2030-01-31T18:00:00Z",
      role_expires_at: null,
      link: "https://app.example/invitations#token=t",
    };
    const body = JSON.stringify({ type: "invitation.created", data });
    const now = new Date();
    const headers = (secret: string) => ({
      "webhook-id": "msg_1",
      "webhook-timestamp": String(Math.floor(now.getTime() / 1000)),
      "webhook-signature": openSigner(secret).sign("msg_1", now, body),
    });
    let sent = 0;
    const options = { hostname: "127.0.0.1", port: Number(new URL(mail.url).port) };
    await using _provider = Deno.serve({ ...options, onListen() {} }, () => {
      sent += 1;
      return new Response(null);
    });
    const another = `whsec_${btoa("a secret of thirty-two characters")}`;
    const refused = await fetch(url + path, { method: "POST", headers: headers(another), body });
    assert.deepEqual([refused.status, sent], [401, 0]);
    await refused.body?.cancel();
    await call(path, { headers: headers(mail.secret), body });
    assert.equal(sent, 1);
  }

  async function blocks() {
    const [block] = await owner`
      insert into bulwark.rate_limit_blocks (kind, identifier, rule, step, expires_at)
      values ('address', gen_random_uuid(), 'api_strict', 1, now() + interval '1 hour')
      returning id
    `;
    const { lifted_by } = await rpc(root.token, "lift_rate_limit_block", { block_id: block?.id });
    assert.equal(lifted_by, root.id);
  }

  async function log() {
    await owner`select bulwark.seal_audit_log()`;
    await rpc(ada.token, "export_audit_log", { organization_id });
    const [group] = await owner`
      select seal from bulwark_private.audit_groups where organization_id = ${organization_id} limit 1
    `;
    const part = { seal: Number(group?.seal), first: 1, last: 1, organization_id };
    await rpc(ada.token, "audit_group_nodes", part);
    const period = { since: "2026-01-01T00:00:00Z", until: new Date().toISOString() };
    await rpc(ada.token, "audit_period", { organization_id, ...period });
    const audit = "/functions/v1/bulwark-audit";
    await call(`${audit}/checkpoint`, { token: schedulerSecret });
    const { entries: [oldest] } = await rpc(ada.token, "search_audit_logs", {
      organization_id,
      until: period.until,
    });
    const read = (path: string) => call(audit + path, { token: ada.token, method: "GET" });
    await read(`/proof?id=${oldest.id}`);
    const { tree_size } = await read("/checkpoint");
    await read(`/proof/consistency?from=1&to=${tree_size}`);
  }
}
