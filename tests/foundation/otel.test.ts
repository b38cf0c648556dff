/** Traces of the functions in front of the real Data API, with a collector and without its answer. */
import assert from "node:assert/strict";
import { mountFunctions } from "../../scripts/stack/functions.ts";
import { inRepository } from "../../scripts/stack/paths.ts";
import { startCollector } from "../../scripts/testing/otlp_collector.ts";
import { createOrganization, publishableKey, secretKey, signUp, url } from "../support.ts";

const trace = crypto.randomUUID();
const traceId = trace.replaceAll("-", "");

Deno.test("FND-T10: a request's trace reaches the collector, and no request waits for it", async () => {
  const collector = startCollector();
  const variables = {
    SUPABASE_URL: url,
    SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: publishableKey }),
    SUPABASE_SECRET_KEYS: JSON.stringify({ default: secretKey }),
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_SERVICE_NAME: "tested",
    OTEL_BSP_SCHEDULE_DELAY: "100",
  };
  for (const [name, value] of Object.entries(variables)) Deno.env.set(name, value);
  const functions = mountFunctions(inRepository("supabase", "functions"));
  const [admin, stranger] = [await signUp("admin"), await signUp("stranger")];
  const organization = await createOrganization(admin);
  const ask = async (token: string, headers: HeadersInit = {}) => {
    const query = `permission=audit:read&organization_id=${organization}`;
    const request = new Request(`http://localhost/functions/v1/bulwark-rbac?${query}`, {
      headers: { authorization: `Bearer ${token}`, ...headers },
    });
    const info = { remoteAddr: { transport: "tcp", hostname: "127.0.0.1", port: 1 } };
    const answer = await functions.fetch(request, info as Deno.ServeHandlerInfo);
    await answer.body?.cancel();
    return answer.status;
  };
  const traceparent = `00-${traceId}-b7ad6b7169203331-01`;
  assert.equal(await ask(admin.token, { traceparent }), 204);
  assert.equal(await ask(stranger.token, { traceparent }), 403);
  for (const start = Date.now(); collector.metrics.length === 0;) {
    assert.ok(Date.now() - start < 20_000, "the metrics came");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const ours = collector.spans.filter((span) => span.traceId === traceId);
  const servers = ours.filter(({ kind }) => kind === 2);
  assert.deepEqual(
    servers.map(({ attributes }) => attributes["http.response.status_code"]).sort(),
    ["204", "403"],
  );
  assert.ok(servers.every(({ resource }) => resource["service.name"] === "tested"));
  const parents = new Set(servers.map(({ spanId }) => spanId));
  const calls = ours.filter(({ kind }) => kind === 3);
  assert.ok(calls.some(({ name }) => name === "rpc/my_permissions"), JSON.stringify(calls));
  assert.ok(calls.every(({ parentSpanId }) => parents.has(parentSpanId ?? "")));
  assert.deepEqual(collector.refused, []);
  const sent = collector.requests.map(({ body }) => body).join();
  for (const secret of [admin.token, stranger.token, secretKey, publishableKey, admin.email]) {
    assert.ok(!sent.includes(secret));
  }
  assert.ok(!sent.includes(organization) && !sent.includes(admin.id));

  collector.status = null;
  const start = performance.now();
  for (let i = 0; i < 5; i++) assert.equal(await ask(admin.token), 204);
  assert.ok(performance.now() - start < 5000, "a collector that hangs holds up nobody");
  await collector.stop();
});
