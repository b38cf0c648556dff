/**
 * Function `webhooks`. As the bearer of the token: makes an endpoint (`POST /webhooks/endpoints`),
 * moves it (`PUT …/endpoints/<id>/destination`), exchanges its secret (`POST …/<id>/rotate`) and
 * sends it a sample now (`POST …/<id>/test`). For the scheduler: delivers what is due
 * (`POST /webhooks/deliver`). Everything else is an RPC of the database.
 */
import { unwrap } from "../_shared/audit/log.ts";
import { callerClient } from "../_shared/caller.ts";
import { openDataKeys } from "../_shared/encryption/mod.ts";
import { readWebhookEnv } from "../_shared/env.ts";
import { BulwarkError } from "../_shared/errors.ts";
import { correlationIdOf, handle, readJson } from "../_shared/http.ts";
import { parse, queryOf } from "../_shared/input.ts";
import { requireScheduler } from "../_shared/scheduler.ts";
import { serviceClient } from "../_shared/service.ts";
import { deliver, deliverSample } from "../_shared/webhooks/delivering.ts";
import { createEndpoint, moveEndpoint, rotateSecret } from "../_shared/webhooks/endpoints.ts";
import * as input from "../_shared/webhooks/input.ts";

const env = readWebhookEnv();

const asService = (request: Request) => {
  const client = serviceClient(env, correlationIdOf(request));
  return { client, keys: openDataKeys(client, env), policy: env, source: new URL(env.url).host };
};
const asCaller = (from: Request) => ({ ...asService(from), client: callerClient(from, env) });

const routes: Record<string, (request: Request, id: string) => Promise<Response>> = {
  async "POST /webhooks/endpoints"(request) {
    const asked = parse(input.newEndpoint, await readJson(request));
    return Response.json(await createEndpoint(asCaller(request), asked), { status: 201 });
  },
  async "PUT /webhooks/endpoints/<id>/destination"(request, id) {
    const asked = parse(input.newDestination, await readJson(request));
    await moveEndpoint(asCaller(request), id, asked);
    return new Response(null, { status: 204 });
  },
  async "POST /webhooks/endpoints/<id>/rotate"(request, id) {
    const { overlap_seconds } = parse(input.rotation, await readJson(request));
    return Response.json(await rotateSecret(asCaller(request), id, overlap_seconds));
  },
  async "POST /webhooks/endpoints/<id>/test"(request, id) {
    const sent = await callerClient(request, env).rpc("send_test_webhook", { endpoint_id: id });
    return Response.json(await deliverSample(asService(request), unwrap(sent)));
  },
  async "POST /webhooks/deliver"(request) {
    requireScheduler(request, env.schedulerSecret);
    const { wait_seconds } = parse(input.delivering, queryOf(request));
    const limits = { wait: wait_seconds * 1000, signal: request.signal };
    return Response.json(await deliver(asService(request), limits));
  },
};

Deno.serve(handle(["POST", "PUT"], async (request) => {
  const { path, id } = input.readPath(new URL(request.url).pathname);
  const route = routes[`${request.method} ${path}`];
  if (!route) throw new BulwarkError(404, "NOT_FOUND", "Cannot answer: there is no such path");
  return await route(request, id);
}));
