/**
 * Entries as events of the Open Cybersecurity Schema Framework, version 1.3.0: Entity Management
 * (3004) for changes of rights and configuration, API Activity (6003) for all others.
 * @see https://schema.ocsf.io/1.3.0/classes/entity_management
 * @see https://schema.ocsf.io/1.3.0/classes/api_activity
 */
import type { AuditEntry, AuditPayload } from "./records.ts";

/** The schema version of the events. */
export const ocsfVersion = "1.3.0";

const entityCategories = ["authz", "config", "settings"];
const entityEvents = [
  "api.key_created",
  "api.key_revoked",
  "auth.mfa_enabled",
  "auth.mfa_disabled",
];

const severities: Record<string, [number, string]> = {
  debug: [1, "Informational"],
  info: [1, "Informational"],
  warning: [3, "Medium"],
  error: [4, "High"],
  critical: [5, "Critical"],
};

const statuses: Record<string, [number, string]> = {
  success: [1, "Success"],
  failure: [2, "Failure"],
  partial: [99, "Partial"],
};

const activities: [RegExp, number, string][] = [
  [/^(create|insert|granted|assigned|enabled|login|startup|place)/, 1, "Create"],
  [/^(read|accessed|export|request|verified)/, 2, "Read"],
  [/^(update|changed|updated|password)/, 3, "Update"],
  [/^(delete|truncate|removed|revoked|disabled|logout|shutdown)/, 4, "Delete"],
];

/** An entry as an OCSF event; fields unknown to the schema are in `unmapped`, unchanged. */
export function ocsfEvent(entry: AuditEntry, cursor: string): Record<string, unknown> {
  const payload: AuditPayload = entry.payload === undefined ? {} : JSON.parse(entry.payload);
  const [category = "", name = ""] = entry.event_type.split(".");
  const isEntity = entityCategories.includes(category) || entityEvents.includes(entry.event_type);
  const class_uid = isEntity ? 3004 : 6003;
  const [activity_id, activity_name] = activityOf(name, payload.action);
  const [severity_id, severity] = severities[entry.severity] ?? [99, entry.severity];
  const [status_id, status] = statuses[entry.result] ?? [99, entry.result];
  const resource = { name: entry.resource_type, uid: payload.resource_id, type: "table" };
  return prune({
    activity_id,
    activity_name,
    category_uid: isEntity ? 3 : 6,
    category_name: isEntity ? "Identity & Access Management" : "Application Activity",
    class_uid,
    class_name: isEntity ? "Entity Management" : "API Activity",
    type_uid: class_uid * 100 + activity_id,
    time: Date.parse(entry.occurred_at),
    severity_id,
    severity,
    status_id,
    status,
    message: entry.event_type,
    metadata: {
      version: ocsfVersion,
      product: { name: "Bulwark", vendor_name: "Bulwark" },
      uid: entry.id,
      event_code: entry.event_type,
      correlation_uid: payload.correlation_id,
      tenant_uid: entry.organization_id,
      original_time: entry.occurred_at,
    },
    actor: {
      user: { uid: payload.actor_id, name: payload.actor_id ?? payload.database_user ?? "unknown" },
      session: payload.session_id ? { uid: payload.session_id } : undefined,
    },
    src_endpoint: { ip: payload.ip, name: payload.ip ? undefined : "unknown" },
    ...(isEntity ? { entity: { ...resource, name: resource.name ?? entry.event_type } } : {
      api: { operation: payload.action ?? name },
      resources: entry.resource_type ? [resource] : undefined,
    }),
    http_request: payload.user_agent && !isEntity ? { user_agent: payload.user_agent } : undefined,
    raw_data: entry.payload,
    unmapped: {
      cursor,
      source: entry.source,
      result: entry.result,
      actor_type: payload.actor_type,
      database_user: payload.database_user,
      parent_id: payload.parent_id,
      removed_by: entry.removed_by,
    },
  });
}

function activityOf(name: string, action: string | undefined): [number, string] {
  for (const word of [action, name, name.split("_").at(-1)]) {
    const found = activities.find(([pattern]) => word && pattern.test(word.toLowerCase()));
    if (found) return [found[1], found[2]];
  }
  return [99, action ?? name];
}

/** The event without unknown values: OCSF omits them instead of using null. */
function prune(event: Record<string, unknown>): Record<string, unknown> {
  const known = Object.entries(event).flatMap(([key, value]): [string, unknown][] => {
    if (value === undefined || value === null) return [];
    const isObject = typeof value === "object" && !Array.isArray(value);
    return [[key, isObject ? prune(value as Record<string, unknown>) : value]];
  });
  return Object.fromEntries(known);
}
