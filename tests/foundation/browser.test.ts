/**
 * A page of another origin in a real browser: what CORS and preflights decide, no other test sees.
 */
import assert from "node:assert/strict";
import { inRepository } from "../../scripts/stack/paths.ts";
import { browser, html, javascript, visit } from "./browser.ts";

// Runs in the browser; supabase-js comes from the package as it is published for pages.
const script = `
  const tell = (result) => fetch("/result", { method: "POST", body: JSON.stringify(result) });
  (async () => {
    const { url, key } = await (await fetch("/settings")).json();
    const client = supabase.createClient(url, key, { db: { schema: "bulwark" } });
    const email = crypto.randomUUID() + "@browser.test";
    const slug = "browser-" + crypto.randomUUID().slice(0, 8);
    const signUp = await client.auth.signUp({ email, password: crypto.randomUUID() });
    const made = await client.rpc("create_organization", { name: "Browser", slug });
    const asked = { permission: "audit:read", organization_id: made.data?.id };
    const permission = await client.rpc("has_permission", asked);
    const listed = await client.from("organizations").select("slug");
    const called = await client.functions.invoke("bulwark-rbac", {
      body: { permissions: ["audit:read", "system:admin"], organization_id: made.data?.id },
    });
    const refused = await client.rpc("has_permission", { permission: "no:such" });
    // Headers of tracing and error tracking, and a region.
    const headers = {
      "sentry-trace": "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
      baggage: "sentry-environment=test",
      traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      tracestate: "vendor=1",
      "x-host-app": "1",
    };
    const traced = await client.functions.invoke("bulwark-rbac", {
      body: { permissions: ["audit:read"], organization_id: made.data?.id },
      headers,
      region: "eu-west-1",
    });
    const read = await fetch(url + "/functions/v1/bulwark-rbac", { method: "HEAD", headers: { apikey: key } });
    const limit = await client.functions.invoke("bulwark-rbac", { body: { permissions: [] } })
      .then(({ response }) => response?.headers.get("ratelimit-policy"));
    await tell({
      origin: location.origin,
      confirmed: Boolean(signUp.data.user?.email_confirmed_at),
      error: signUp.error ?? made.error ?? permission.error ?? listed.error ?? called.error,
      permission: permission.data,
      listed: listed.data?.map((organization) => organization.slug === slug),
      allowed: called.data?.allowed,
      traced: traced.error ? String(traced.error) : traced.data.allowed,
      readable: Boolean(read.headers.get("x-correlation-id")) && Boolean(limit),
      refused: { code: refused.error?.code, details: refused.error?.details },
    });
  })().catch((error) => tell({ error: String(error) }));
`;

/** The results of the page. */
interface PageResult {
  origin?: string;
  confirmed?: boolean;
  error?: unknown;
  permission?: unknown;
  listed?: boolean[];
  allowed?: Record<string, boolean>;
  traced?: unknown;
  readable?: boolean;
  refused?: { code?: string; details?: string };
}

Deno.test({
  name: "a page of another origin signs up, calls an RPC, reads a table and calls a function" +
    (browser ? "" : " (needs Chromium; Debian: chromium)"),
  ignore: browser === null,
  async fn() {
    const url = Deno.env.get("BULWARK_TEST_URL");
    const key = Deno.env.get("BULWARK_TEST_PUBLISHABLE_KEY");
    const result = await visitPage({ url, key });
    assert.equal(result.error, null);
    assert.notEqual(result.origin, new URL(url!).origin);
    assert.equal(result.confirmed, true);
    assert.equal(result.permission, true);
    assert.deepEqual(result.listed, [true]);
    assert.deepEqual(result.allowed, { "audit:read": true, "system:admin": false });
    assert.deepEqual(result.traced, { "audit:read": true });
    assert.equal(result.readable, true, "headers that a page may read");
    assert.ok(result.refused?.code, "an error reaches the page with its code");
    assert.match(result.refused?.details ?? "", /^[A-Z][A-Z_]+$/);
  },
});

/** Serves the page and supabase-js to a browser. */
async function visitPage(settings: Record<string, unknown>): Promise<PageResult> {
  const library = await Deno.readTextFile(
    inRepository("node_modules", "@supabase", "supabase-js", "dist", "umd", "supabase.js"),
  );
  return await visit<PageResult>({
    "/": () => html(`<script src="/supabase.js"></script><script src="/page.js"></script>`),
    "/supabase.js": () => javascript(library),
    "/page.js": () => javascript(script),
    "/settings": () => Response.json(settings),
  });
}
