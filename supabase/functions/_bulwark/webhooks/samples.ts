/** Samples for an endpoint: one that is sent, and what it would get for an event. */
import type { CallerClient } from "../foundation/caller.ts";
import { unwrap } from "../foundation/errors.ts";
import type { WebhookEvent } from "./event.ts";
import { renderBody, type WebhookFormat } from "./formats.ts";

/** The answer of preview_webhook_delivery. */
interface Previewed {
  subscribed: boolean;
  enabled: boolean;
  format: WebhookFormat;
  event: WebhookEvent;
}

/**
 * Writes a sample into the outbox and returns the id of its delivery.
 * @throws BulwarkError those of send_test_webhook
 */
export async function sample(
  { client }: { client: CallerClient },
  endpoint_id: string,
): Promise<string> {
  return unwrap(await client.rpc("send_test_webhook", { endpoint_id }));
}

/**
 * The delivery that an endpoint would get for an event: the event, and the body in the endpoint's format. Its
 * webhook-id is zeros and its routing key three dots: both belong to a real delivery.
 * @throws BulwarkError those of preview_webhook_delivery
 */
export async function preview(
  { client, source }: { client: CallerClient; source: string },
  endpoint_id: string,
  event_id: string,
): Promise<Previewed & { body: string }> {
  const asked = await client.rpc("preview_webhook_delivery", { endpoint_id, event_id });
  const shown = unwrap(asked) as unknown as Previewed;
  const id = "00000000-0000-0000-0000-000000000000";
  return {
    ...shown,
    body: renderBody(shown.format, shown.event, { id, source, routingKey: "..." }),
  };
}
