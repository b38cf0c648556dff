/** Bodies for receivers: Bulwark's JSON, Slack messages, PagerDuty events. */
import { isResolved, summarize, type WebhookEvent } from "./event.ts";

/** Context for rendering an event. */
export interface RenderContext {
  /** The webhook-id. */
  id: string;
  /** The installation's address, the source of the event. */
  source: string;
  routingKey?: string | undefined;
}

export type WebhookFormat = "json" | "slack" | "pagerduty";

/** The body of a delivery, the same in every attempt. */
export function renderBody(
  format: WebhookFormat,
  event: WebhookEvent,
  context: RenderContext,
): string {
  return JSON.stringify(renderers[format](event, context));
}

const renderers: Record<WebhookFormat, (event: WebhookEvent, context: RenderContext) => unknown> = {
  json: (event, { id }) => ({ id, ...event }),
  slack,
  pagerduty,
};

const colours = {
  debug: "#9aa0a6",
  info: "#3367d6",
  warning: "#f29900",
  error: "#d93025",
  critical: "#8c1d18",
};

/** https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks */
function slack(event: WebhookEvent, { id, source }: RenderContext) {
  // Escaping makes up to five characters of one, and a block has 3,000.
  const summary = escapeSlack(cut(summarize(event), 500));
  const about = `${event.severity} | ${event.timestamp} | ${source} | ${id}`;
  return {
    text: `${escapeSlack(event.type)}: ${summary}`,
    attachments: [{
      color: isResolved(event) ? "#188038" : colours[event.severity],
      blocks: [
        {
          type: "section",
          text: { type: "mrkdwn", text: `*${escapeSlack(event.type)}*\n${summary}` },
        },
        { type: "context", elements: [{ type: "mrkdwn", text: escapeSlack(about) }] },
      ],
    }],
  };
}

/** Escapes Slack's markup, so that an event cannot mention a channel or make a link. */
function escapeSlack(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** https://developer.pagerduty.com/docs/events-api-v2/trigger-events/ */
function pagerduty(event: WebhookEvent, { id, source, routingKey }: RenderContext) {
  const subject = typeof event.data?.["id"] === "string" ? event.data["id"] : id;
  return {
    routing_key: routingKey,
    event_action: isResolved(event) ? "resolve" : "trigger",
    // A security event and its resolution are one incident.
    dedup_key: event.type.startsWith("security.") ? subject : id,
    payload: {
      summary: cut(`${event.type}: ${summarize(event)}`, 1024),
      source,
      severity: event.severity === "debug" ? "info" : event.severity,
      timestamp: event.timestamp,
      class: event.type,
      custom_details: { webhook_id: id, ...event.data },
    },
    client: "Bulwark",
  };
}

/** The first characters, without cutting a surrogate pair. */
function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1).toWellFormed()}…`;
}
