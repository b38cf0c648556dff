/** The operations of the function `bulwark-webhooks`. */
import { z } from "zod";
import { id } from "../foundation/input.ts";
import { operation } from "../foundation/operation.ts";
import { severities } from "./event.ts";

const moment = () => z.iso.datetime({ offset: true });

const subscription = z.strictObject({
  pattern: z.string().max(160),
  minimum_severity: z.enum(severities).default("debug"),
});
const url = z.string().min(1).max(2048);
const routing_key = z.string().regex(/^[\w-]{16,64}$/);
const ordering = z.enum(["none", "resource", "endpoint"]);
const format = z.enum(["json", "slack", "pagerduty"]);
const outcomes = [
  "delivered",
  "rejected",
  "timed_out",
  "unreachable",
  "forbidden",
  "unreadable",
  "lost",
] as const;

const endpoint = {
  organization_id: id.nullable().describe("Null: an endpoint of the installation."),
  name: z.string().min(1).max(100).regex(/^\P{Cc}+$/u),
  ordering: ordering.default("none"),
  include_details: z.boolean().default(false),
  follow_redirects: z.boolean().default(false),
  every_organization: z.boolean().default(false)
    .describe("Events of all organizations, for an endpoint of the installation."),
  subscriptions: z.array(subscription).min(1).max(50),
  url,
};

const user = { auth: ["user"], rule: "api_default" } as const;
const managed = [
  "ENCRYPTION_KEY_DESTROYED",
  "ENCRYPTION_KEY_LOST",
  "ENCRYPTION_KEY_UNAVAILABLE",
  "ENCRYPTION_NOT_CONFIGURED",
  "MFA_REQUIRED",
  "MFA_VERIFICATION_REQUIRED",
  "RBAC_PERMISSION_DENIED",
] as const;
const known = [...managed, "WEBHOOK_UNKNOWN_ENDPOINT"] as const;

export const operations = {
  create: operation({
    ...user,
    method: "POST",
    path: "/bulwark-webhooks/endpoints",
    summary: "Creates an endpoint and shows its secret, this once",
    input: z.union([
      z.strictObject({ ...endpoint, format: z.enum(["json", "slack"]).default("json") }),
      z.strictObject({ ...endpoint, format: z.literal("pagerduty"), routing_key }),
    ]),
    output: () =>
      z.object({
        id,
        organization_id: id.nullable(),
        name: z.string(),
        format,
        ordering,
        origin: z.string().describe("Scheme and host of the address."),
        include_details: z.boolean(),
        follow_redirects: z.boolean(),
        every_organization: z.boolean(),
        created_at: moment(),
        created_by: id.nullable(),
        updated_at: moment(),
        disabled_at: moment().nullable(),
        disabled_reason: z.string().nullable(),
        secret: z.string().describe("Signs deliveries."),
      }),
    status: 201,
    errors: [
      ...managed,
      "RBAC_UNKNOWN_ORGANIZATION",
      "WEBHOOK_ID_TAKEN",
      "WEBHOOK_INVALID_SUBSCRIPTION",
      "WEBHOOK_TOO_MANY_ENDPOINTS",
      "WEBHOOK_URL_NOT_ALLOWED",
    ],
  }),
  move: operation({
    ...user,
    method: "PUT",
    path: "/bulwark-webhooks/endpoints/<id>/destination",
    summary: "Moves an endpoint to another address",
    input: z.strictObject({ url, routing_key: routing_key.optional() }),
    errors: [...known, "WEBHOOK_URL_NOT_ALLOWED"],
  }),
  rotate: operation({
    ...user,
    method: "POST",
    path: "/bulwark-webhooks/endpoints/<id>/rotate",
    summary: "Shows a new secret, this once; the old one signs too during the overlap",
    input: z.strictObject({
      overlap_seconds: z.int().min(0).max(604_800).default(86_400)
        .describe("At most seven days."),
    }),
    output: () => z.object({ secret: z.string(), previous_until: moment() }),
    errors: [...known, "WEBHOOK_INVALID_OVERLAP", "WEBHOOK_TOO_MANY_SECRETS"],
  }),
  test: operation({
    ...user,
    method: "POST",
    path: "/bulwark-webhooks/endpoints/<id>/test",
    summary: "Sends a sample now",
    output: () =>
      z.object({
        delivery_id: id,
        outcome: z.enum(outcomes).nullable()
          .describe("Null: another worker has taken the sample; the delivery shows its result."),
        status: z.int().nullable().optional(),
        latency_ms: z.int().nullable().optional(),
        response: z.string().nullable().optional(),
      }),
    errors: [...known, "WEBHOOK_TOO_MANY_TESTS"],
  }),
  preview: operation({
    ...user,
    method: "POST",
    path: "/bulwark-webhooks/endpoints/<id>/preview",
    summary: "Shows the delivery that an endpoint would get for an event",
    input: z.strictObject({ event_id: id.describe("An audit entry or a security event.") }),
    output: () =>
      z.object({
        subscribed: z.boolean(),
        enabled: z.boolean(),
        format,
        event: z.object({
          type: z.string(),
          timestamp: moment(),
          severity: z.enum(severities),
          data: z.record(z.string(), z.unknown()).nullable(),
        }),
        body: z.string().describe("The text that would be sent, in the endpoint's format."),
      }),
    errors: [...known, "WEBHOOK_UNKNOWN_EVENT"],
  }),
  sendInvitation: operation({
    method: "POST",
    path: "/bulwark-webhooks/invitations",
    summary: "Sends an invitation as e-mail: the receiver of the event invitation.created",
    auth: ["webhook_signature"],
    rule: null,
    raw: true,
    errors: ["WEBHOOK_MAIL_FAILED"],
  }),
  deliver: operation({
    method: "POST",
    path: "/bulwark-webhooks/deliver",
    summary: "Delivers what is due",
    auth: ["scheduler"],
    rule: "api_default",
    input: z.strictObject({
      wait_seconds: z.coerce.number().min(0).max(55).default(0)
        .describe("How long the run waits for more."),
    }),
    inQuery: true,
    output: () => z.object({ claimed: z.int(), delivered: z.int(), failed: z.int() }),
    errors: ["ENCRYPTION_NOT_CONFIGURED"],
  }),
};

export type NewEndpoint = z.output<typeof operations.create.input>;
