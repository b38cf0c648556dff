/**
 * Function `bulwark-webhooks`. For users: creates, moves, tests and previews endpoints, and rotates
 * their secrets. For the scheduler: delivers. For its own deliveries: sends invitations as e-mail.
 */
import { callerClient } from "../_bulwark/foundation/caller.ts";
import { openDataKeys } from "../_bulwark/encryption/mod.ts";
import { readRateLimitEnv } from "../_bulwark/rate_limits/env.ts";
import { readMailEnv, readWebhookEnv } from "../_bulwark/webhooks/env.ts";
import { correlationIdOf, handle, readJson } from "../_bulwark/foundation/http.ts";
import { parse, queryOf } from "../_bulwark/foundation/input.ts";
import { openLimits } from "../_bulwark/rate_limits/mod.ts";
import { pathId, router } from "../_bulwark/foundation/router.ts";
import { forScheduler, schedulerTimeoutMs } from "../_bulwark/foundation/scheduler.ts";
import { serviceClient } from "../_bulwark/foundation/service.ts";
import { deliverFor, deliverSample } from "../_bulwark/webhooks/delivering.ts";
import { createEndpoint, moveEndpoint, rotateSecret } from "../_bulwark/webhooks/endpoints.ts";
import * as input from "../_bulwark/webhooks/input.ts";
import { forInvitations } from "../_bulwark/webhooks/invitations.ts";
import { preview, sample } from "../_bulwark/webhooks/samples.ts";

const env = readWebhookEnv();
const limit = openLimits(readRateLimitEnv());

const asService = (request: Request, options = {}) => {
  const client = serviceClient(env, correlationIdOf(request), options);
  return { client, keys: openDataKeys(client, env), policy: env, source: new URL(env.url).host };
};
const asCaller = (from: Request) => ({ ...asService(from), client: callerClient(from, env) });

const answer = router(limit, {
  "POST /bulwark-webhooks/endpoints": limit("api_default", async (request) => {
    const asked = parse(input.newEndpoint, await readJson(request));
    return Response.json(await createEndpoint(asCaller(request), asked), { status: 201 });
  }),
  "PUT /bulwark-webhooks/endpoints/<id>/destination": limit("api_default", async (request) => {
    const asked = parse(input.newDestination, await readJson(request));
    await moveEndpoint(asCaller(request), pathId(request), asked);
    return new Response(null, { status: 204 });
  }),
  "POST /bulwark-webhooks/endpoints/<id>/rotate": limit("api_default", async (request) => {
    const { overlap_seconds } = parse(input.rotation, await readJson(request));
    return Response.json(await rotateSecret(asCaller(request), pathId(request), overlap_seconds));
  }),
  "POST /bulwark-webhooks/endpoints/<id>/test": limit("api_default", async (request) => {
    const sent = await sample(asCaller(request), pathId(request));
    return Response.json(await deliverSample(asService(request), sent));
  }),
  "POST /bulwark-webhooks/endpoints/<id>/preview": limit("api_default", async (request) => {
    const { event_id } = parse(input.previewing, await readJson(request));
    return Response.json(await preview(asCaller(request), pathId(request), event_id));
  }),
  "POST /bulwark-webhooks/invitations": forInvitations(limit, readMailEnv()),
  "POST /bulwark-webhooks/deliver": forScheduler(limit, env.schedulerSecret, async (request) => {
    const { wait_seconds } = parse(input.delivering, queryOf(request));
    const service = asService(request, { timeoutMs: schedulerTimeoutMs });
    return Response.json(await deliverFor(service, wait_seconds, request.signal));
  }),
});

Deno.serve(handle(answer));
