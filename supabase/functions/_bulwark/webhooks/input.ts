/** Inputs of the function `bulwark-webhooks`. */
import { z } from "zod";
import { id } from "../foundation/input.ts";
import { severities } from "./event.ts";

const subscription = z.strictObject({
  pattern: z.string().max(160),
  minimum_severity: z.enum(severities).default("debug"),
});

const destination = {
  url: z.string().min(1).max(2048),
  routing_key: z.string().regex(/^[\w-]{16,64}$/).optional(),
};

/** `POST /bulwark-webhooks/endpoints` */
export const newEndpoint = z.strictObject({
  organization_id: id.nullable(),
  name: z.string().min(1).max(100).regex(/^\P{Cc}+$/u),
  format: z.enum(["json", "slack", "pagerduty"]).default("json"),
  ordering: z.enum(["none", "resource", "endpoint"]).default("none"),
  include_details: z.boolean().default(false),
  follow_redirects: z.boolean().default(false),
  every_organization: z.boolean().default(false),
  subscriptions: z.array(subscription).min(1).max(50),
  ...destination,
}).refine(({ format, routing_key }) => (format === "pagerduty") === (routing_key !== undefined), {
  path: ["routing_key"],
}).refine(({ organization_id, every_organization }) => !every_organization || !organization_id, {
  path: ["every_organization"],
});

/** `PUT /bulwark-webhooks/endpoints/<id>/destination` */
export const newDestination = z.strictObject(destination);

/** `POST /bulwark-webhooks/endpoints/<id>/rotate`; seconds, at most seven days. */
export const rotation = z.strictObject({
  overlap_seconds: z.number().int().min(0).max(604_800).default(86_400),
});

/** `POST /bulwark-webhooks/endpoints/<id>/preview`: an audit entry or a security event. */
export const previewing = z.strictObject({ event_id: id });

/** `POST /bulwark-webhooks/deliver`: how long the run polls. */
export const delivering = z.strictObject({
  wait_seconds: z.coerce.number().min(0).max(55).default(0),
});

export type NewEndpoint = z.output<typeof newEndpoint>;
