/**
 * Function `bulwark-webhooks`. For users: creates, moves, tests and previews endpoints, and rotates
 * their secrets. For the scheduler: delivers. For its own deliveries: sends invitations as e-mail.
 */
import { openDataKeys } from "../_bulwark/encryption/mod.ts";
import { answering } from "../_bulwark/foundation/answering.ts";
import type { DataClient } from "../_bulwark/foundation/clients.ts";
import { correlationIdOf, handle } from "../_bulwark/foundation/http.ts";
import { serviceClient } from "../_bulwark/foundation/service.ts";
import { readRateLimitEnv } from "../_bulwark/rate_limits/env.ts";
import { openLimits } from "../_bulwark/rate_limits/mod.ts";
import { deliverFor, deliverSample } from "../_bulwark/webhooks/delivering.ts";
import { createEndpoint, moveEndpoint, rotateSecret } from "../_bulwark/webhooks/endpoints.ts";
import { readMailEnv, readWebhookEnv } from "../_bulwark/webhooks/env.ts";
import { forInvitations } from "../_bulwark/webhooks/invitations.ts";
import { operations } from "../_bulwark/webhooks/operations.ts";
import { preview, sample } from "../_bulwark/webhooks/samples.ts";

const env = readWebhookEnv();
const limit = openLimits(readRateLimitEnv());

const partsOf = (service: DataClient) => {
  const source = new URL(env.url).host;
  return { client: service, keys: openDataKeys(service, env), policy: env, source };
};
const asService = (request: Request) => partsOf(serviceClient(env, correlationIdOf(request)));
const asCaller = ({ request, client }: { request: Request; client: DataClient }) => ({
  ...asService(request),
  client,
});

const answer = answering(operations, { env, limit }, {
  create: (call) => createEndpoint(asCaller(call), call.asked),
  move: (call) => moveEndpoint(asCaller(call), call.id, call.asked),
  rotate: (call) => rotateSecret(asCaller(call), call.id, call.asked.overlap_seconds),
  test: async (call) =>
    await deliverSample(asService(call.request), await sample(asCaller(call), call.id)),
  preview: (call) => preview(asCaller(call), call.id, call.asked.event_id),
  sendInvitation: forInvitations(limit, readMailEnv()),
  deliver: ({ request, client, asked }) =>
    deliverFor(partsOf(client), asked.wait_seconds, request.signal),
});

Deno.serve(handle(answer));
