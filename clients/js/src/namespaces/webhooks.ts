import { type Calls, firstOrNull, type Query } from "../calls.ts";
import type { Enums } from "../generated/database.ts";
import type { Inputs } from "../generated/inputs.ts";
import type { FunctionAnswers } from "../generated/answers.ts";
import type { Args } from "../overlay.ts";
import { pageSize, rowsOf } from "../pages.ts";

/** A filter of the deliveries of an endpoint. */
export interface DeliveryFilter {
  statuses?: readonly Enums["webhook_delivery_status"][] | undefined;
  /** Only deliveries before this `sequence`: that of the last one of the previous page. */
  before?: number | undefined;
  page_size?: number | undefined;
}

/** The number of deliveries in a page. */
export const deliveriesOf = ({ page_size }: DeliveryFilter): number => pageSize(page_size, 50);

/** Endpoints for events, and their deliveries. */
export function webhooks<T extends boolean>(
  { rpc, select, invoke }: Calls<T>,
  throwing: Calls<true>,
) {
  const newest = (query: Query, column: string) => query.order(column, { ascending: false });
  const page = (query: Query, endpoint: string, filter: DeliveryFilter) => {
    const { statuses, before } = filter;
    const some = statuses ? query.in("status", statuses) : query;
    const rest = before === undefined ? some : some.lt("sequence", before);
    return newest(rest.eq("endpoint_id", endpoint), "sequence").limit(deliveriesOf(filter));
  };
  const path = (endpoint: string, action: string) =>
    `bulwark-webhooks/endpoints/${endpoint}/${action}`;
  return {
    /** The endpoints of an organization, or those of the installation. */
    list: (organization: string | null) =>
      select(
        "webhook_endpoints",
        (query) =>
          (organization === null
            ? query.is("organization_id", null)
            : query.eq("organization_id", organization)).order("name"),
      ),
    /** One endpoint; null if there is none that the caller may see. */
    get: (endpoint: string) =>
      select(
        "webhook_endpoints",
        (query) => query.eq("id", endpoint),
        firstOrNull,
      ),
    subscriptions: (endpoint: string) =>
      select("webhook_subscriptions", (query) => query.eq("endpoint_id", endpoint)),
    /** How an endpoint does; null before its first delivery. */
    health: (endpoint: string) =>
      select(
        "webhook_endpoint_health",
        (query) => query.eq("endpoint_id", endpoint),
        firstOrNull,
      ),
    /** State, counts and latencies of each endpoint, by default of the last day. */
    stats: (organization: string | null, since?: string) =>
      rpc("webhook_stats", { organization_id: organization, since }),
    /** The content that an endpoint would get for an audit entry or a security event. */
    preview: (endpoint: string, event: string) =>
      invoke<FunctionAnswers["bulwark-webhooks/endpoints/<id>/preview"]>(
        path(endpoint, "preview"),
        { body: { event_id: event } },
      ),
    /** Creates an endpoint and shows its secret, this once. */
    create: (endpoint: Inputs["bulwark-webhooks/endpoints"]) =>
      invoke<FunctionAnswers["bulwark-webhooks/endpoints"]>("bulwark-webhooks/endpoints", {
        body: endpoint,
      }),
    update: (
      endpoint: string,
      change: Omit<Args<"update_webhook_endpoint">, "endpoint_id" | "subscriptions"> & {
        subscriptions?: Inputs["bulwark-webhooks/endpoints"]["subscriptions"] | undefined;
      },
    ) => rpc("update_webhook_endpoint", { ...change, endpoint_id: endpoint } as never),
    /** Moves an endpoint to another address. */
    move: (endpoint: string, to: Inputs["bulwark-webhooks/endpoints/<id>/destination"]) =>
      invoke<null>(path(endpoint, "destination"), { method: "PUT", body: to }),
    /** Shows a new secret, this once; the old one signs too during the overlap. */
    rotateSecret: (
      endpoint: string,
      overlap: Inputs["bulwark-webhooks/endpoints/<id>/rotate"] = {},
    ) =>
      invoke<FunctionAnswers["bulwark-webhooks/endpoints/<id>/rotate"]>(path(endpoint, "rotate"), {
        body: overlap,
      }),
    /** Sends a sample now. */
    test: (endpoint: string) =>
      invoke<FunctionAnswers["bulwark-webhooks/endpoints/<id>/test"]>(path(endpoint, "test")),
    enable: (endpoint: string) => rpc("enable_webhook_endpoint", { endpoint_id: endpoint }),
    disable: (endpoint: string) => rpc("disable_webhook_endpoint", { endpoint_id: endpoint }),
    delete: (endpoint: string) => rpc("delete_webhook_endpoint", { endpoint_id: endpoint }),
    /** A page of an endpoint's deliveries, newest first. */
    deliveries: (endpoint: string, filter: DeliveryFilter = {}) =>
      select("webhook_deliveries", (query) => page(query, endpoint, filter)),
    /** All deliveries of an endpoint, page by page. Throws a BulwarkError. */
    log: (endpoint: string, filter: DeliveryFilter = {}) =>
      rowsOf(
        filter.before,
        (before) =>
          throwing.select(
            "webhook_deliveries",
            (query) => page(query, endpoint, { ...filter, before }),
          ),
        ({ sequence }) => sequence,
      ),
    /** The attempts of a delivery, newest first. */
    attempts: (delivery: string) =>
      select("webhook_attempts", (query) => newest(query.eq("delivery_id", delivery), "number")),
    /** Delivers one again. */
    replay: (delivery: string) => rpc("replay_webhook_delivery", { delivery_id: delivery }),
    /** Delivers those of a range again, the dead ones unless it says otherwise; returns how many. */
    replayRange: (
      endpoint: string,
      range: Omit<Args<"replay_webhook_deliveries">, "endpoint_id">,
    ) => rpc("replay_webhook_deliveries", { endpoint_id: endpoint, ...range }),
  };
}
