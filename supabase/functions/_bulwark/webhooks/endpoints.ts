/** Creating endpoints and changing their encrypted values, with the caller's rights. */
import { unwrap } from "../foundation/errors.ts";
import { type CallerClient, requirePerson } from "../foundation/caller.ts";
import type { DataKeys } from "../encryption/mod.ts";
import { BulwarkError } from "../foundation/errors.ts";
import { requirePermission } from "../rbac/permissions.ts";
import { type AddressPolicy, checkUrl } from "./destination.ts";
import type { NewEndpoint } from "./operations.ts";
import { newSecret, sealDestination, sealSecret } from "./sealing.ts";

/** Dependencies: the caller's own client, the keys, and the allowed addresses. */
export interface Management {
  client: CallerClient;
  keys: DataKeys;
  policy: AddressPolicy;
}

/**
 * Creates an endpoint and returns it with its secret, which is shown only once.
 * @throws BulwarkError WEBHOOK_URL_NOT_ALLOWED, and those of create_webhook_endpoint
 */
export async function createEndpoint({ client, keys, policy }: Management, asked: NewEndpoint) {
  const { url: text, routing_key, organization_id, ...options } = {
    routing_key: undefined,
    ...asked,
  };
  const url = checkUrl(text, policy);
  await requireManagement(client, organization_id);
  const [id, secret_id, secret] = [crypto.randomUUID(), crypto.randomUUID(), newSecret()];
  const endpoint = unwrap(
    await client.rpc("create_webhook_endpoint", {
      ...options,
      id,
      // The generated type of the arguments lacks null; the function accepts it.
      organization_id: organization_id as string,
      origin: url.origin,
      destination: await sealDestination(keys, id, organization_id, {
        url: url.href,
        ...(routing_key === undefined ? {} : { routingKey: routing_key }),
      }),
      secret_id,
      secret: await sealSecret(keys, secret_id, organization_id, secret),
    }),
  );
  return { ...endpoint, secret };
}

/** Moves an endpoint to another address. Throws like {@link createEndpoint}. */
export async function moveEndpoint(
  { client, keys, policy }: Management,
  id: string,
  asked: { url: string; routing_key?: string | undefined },
): Promise<void> {
  const url = checkUrl(asked.url, policy);
  const { organization_id, format } = await readEndpoint(client, id);
  if ((format === "pagerduty") !== (asked.routing_key !== undefined)) {
    throw new BulwarkError(400, "INVALID_INPUT", "Cannot read routing_key: it has no valid form");
  }
  await requireManagement(client, organization_id);
  const destination = await sealDestination(keys, id, organization_id, {
    url: url.href,
    ...(asked.routing_key === undefined ? {} : { routingKey: asked.routing_key }),
  });
  const moved = { endpoint_id: id, origin: url.origin, destination };
  unwrap(await client.rpc("set_webhook_destination", moved));
}

/**
 * Gives an endpoint a new secret, shown only once; the previous one signs too during the overlap.
 * @throws BulwarkError those of rotate_webhook_secret
 */
export async function rotateSecret(
  { client, keys }: Management,
  id: string,
  overlapSeconds: number,
): Promise<{ secret: string; previous_until: string }> {
  const { organization_id } = await readEndpoint(client, id);
  await requireManagement(client, organization_id);
  const [secret_id, secret] = [crypto.randomUUID(), newSecret()];
  const previous_until = unwrap(
    await client.rpc("rotate_webhook_secret", {
      endpoint_id: id,
      secret_id,
      secret: await sealSecret(keys, secret_id, organization_id, secret),
      overlap: `${overlapSeconds} seconds`,
    }),
  );
  return { secret, previous_until };
}

/** The endpoint, if visible to the caller. @throws BulwarkError 404 WEBHOOK_UNKNOWN_ENDPOINT */
async function readEndpoint(client: CallerClient, id: string) {
  const [endpoint] = unwrap(
    await client.from("webhook_endpoints").select("organization_id, format").eq("id", id),
  );
  if (!endpoint) {
    await requirePerson(client);
    throw new BulwarkError(
      404,
      "WEBHOOK_UNKNOWN_ENDPOINT",
      "Cannot find the webhook endpoint: it does not exist or you may not see it",
    );
  }
  return endpoint;
}

/**
 * Checked before encryption, so that nobody creates keys for another organization. The database
 * checks again with a lock.
 */
async function requireManagement(
  client: CallerClient,
  organization_id: string | null,
): Promise<void> {
  // Endpoints of the installation need a super_admin, who alone holds this system-wide.
  const permission = organization_id === null ? "system:admin" : "webhook:manage";
  await requirePermission(client, permission, organization_id);
}
