/** Addresses and secrets of endpoints, encrypted for the row they are in. */
import { toBase64 } from "../foundation/bytes.ts";
import { type DataKeys, decryptField, encryptField, type FieldAddress } from "../encryption/mod.ts";
import { type OpenEndpoint, openUrl } from "./attempt.ts";
import type { AddressPolicy, Destination } from "./destination.ts";
import type { SealedEndpoint } from "./queue.ts";
import { openSigner } from "./signing.ts";

const place = (table: string, primaryKey: string, organizationId: string | null): FieldAddress => ({
  schema: "bulwark_private",
  table,
  column: "ciphertext",
  primaryKey,
  organizationId,
});

/** A new signing secret (Standard Webhooks): `whsec_` and 32 random bytes in base64. */
export function newSecret(): string {
  return `whsec_${toBase64(crypto.getRandomValues(new Uint8Array(32)))}`;
}

/** Encrypts the destination of an endpoint. Throws like encryptField. */
export function sealDestination(
  keys: DataKeys,
  endpointId: string,
  organizationId: string | null,
  destination: Destination,
): Promise<string> {
  const address = place("webhook_destinations", endpointId, organizationId);
  return encryptField(keys, address, JSON.stringify(destination));
}

/** Encrypts a signing secret. Throws like encryptField. */
export function sealSecret(
  keys: DataKeys,
  secretId: string,
  organizationId: string | null,
  secret: string,
): Promise<string> {
  return encryptField(keys, place("webhook_secrets", secretId, organizationId), secret);
}

/**
 * Decrypts the destination and secrets of an endpoint.
 * @throws EncryptionError, AddressRefused or BulwarkError WEBHOOK_URL_NOT_ALLOWED if it cannot be
 * delivered to
 */
export async function openEndpoint(
  keys: DataKeys,
  endpoint: SealedEndpoint,
  policy: AddressPolicy,
): Promise<OpenEndpoint> {
  const { id, organization_id: organization } = endpoint;
  const address = place("webhook_destinations", id, organization);
  const destination = JSON.parse(await decryptField(keys, address, endpoint.destination)) as
    | Destination
    | null;
  if (!destination || endpoint.secrets.length === 0) throw new Error("Cannot open the endpoint");
  const signers = await Promise.all(
    endpoint.secrets.map(async ({ id, ciphertext }) =>
      openSigner(await decryptField(keys, place("webhook_secrets", id, organization), ciphertext))
    ),
  );
  return {
    id,
    url: openUrl(destination.url, endpoint.origin, policy),
    format: endpoint.format,
    followRedirects: endpoint.follow_redirects,
    routingKey: destination.routingKey,
    signers,
  };
}
