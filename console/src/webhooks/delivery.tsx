import type { Rows } from "@bulwark/client";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type ReactNode, useState } from "react";
import { Severity } from "../audit/severity.tsx";
import { queries } from "../connection.ts";
import type { Organization } from "../organization.tsx";
import { Drawer, DrawerHead, exactly, Json } from "../ui/drawer.tsx";
import { Fact, Facts } from "../ui/facts.tsx";
import { Ago, Copy, Problem, Skeleton } from "../ui/parts.tsx";
import { outcomeOf, Status } from "./state.tsx";

type Delivery = Rows["webhook_deliveries"];

/** One delivery: its attempts, and the beginning of each answer. */
export function DeliveryDrawer({ delivery, organization, action, onClose }: {
  delivery: Delivery | null;
  organization: Organization;
  action: ReactNode;
  onClose(): void;
}) {
  return (
    <Drawer item={delivery} onClose={onClose}>
      {(shown) => (
        <>
          <DrawerHead title={shown.event_type}>{exactly(shown.occurred_at)}</DrawerHead>
          <Facts>
            <Fact name="Status">
              <span className="flex items-center gap-2">
                <Status status={shown.status} />
                {action}
              </span>
            </Fact>
            <Fact name="Severity">
              <Severity severity={shown.severity} />
            </Fact>
            {shown.status === "pending" && (
              <Fact name="Next try">
                <Ago time={shown.due_at} />
              </Fact>
            )}
            {shown.source !== "test" && (
              <Fact name="About">
                <Carried delivery={shown} organization={organization} />
              </Fact>
            )}
            <Fact name={shown.source === "test" ? "Event" : "Entry or event"}>
              <Copy text={shown.event_id} label="Copy the id of the event">{shown.event_id}</Copy>
            </Fact>
            <Fact name="Message">
              <Copy text={shown.id} label="Copy the id of the message">{shown.id}</Copy>
            </Fact>
          </Facts>
          <Attempts delivery={shown} />
          {shown.source !== "test" && <Content key={shown.id} delivery={shown} />}
        </>
      )}
    </Drawer>
  );
}

/** A link to the entry or event that a delivery carries, for those who may read it. */
export function Carried({ delivery: { event_id, source }, organization, look = "link" }: {
  delivery: Delivery;
  organization: Organization;
  /** Classes of the link. */
  look?: string;
}) {
  const { slug, permissions } = organization;
  if (source === "audit" && permissions.includes("audit:read")) {
    return (
      <Link to="/o/$slug/audit" params={{ slug }} search={{ entry: event_id }} className={look}>
        Audit entry
      </Link>
    );
  }
  if (source === "security" && permissions.includes("security:read")) {
    return (
      <Link
        to="/o/$slug/events"
        params={{ slug }}
        search={{ event: event_id, status: "all" }}
        className={look}
      >
        Security event
      </Link>
    );
  }
  return null;
}

function Attempts({ delivery }: { delivery: Delivery }) {
  const { data: attempts, error } = useQuery({
    ...queries.webhooks.attempts(delivery.id),
    refetchInterval: delivery.status === "pending" ? 10_000 : false,
  });
  return (
    <section aria-label="Attempts">
      <h3 className="mb-1 font-semibold">Attempts</h3>
      <Problem error={error} />
      {!attempts
        ? !error && <Skeleton />
        : attempts.length === 0
        ? <p className="text-quiet">None was made yet.</p>
        : (
          <ol className="rounded-md border border-line">
            {attempts.map(({ number, outcome, status, latency_ms, started_at, response }) => (
              <li
                key={number}
                data-attempt={outcome}
                className="grid gap-1 border-b border-line px-3 py-2 last:border-0"
              >
                <span className="flex flex-wrap items-center gap-x-3">
                  <span className="text-quiet">{number}</span>
                  <span
                    className={`font-medium ${outcome === "delivered" ? "text-good" : "text-bad"}`}
                  >
                    {outcomeOf(outcome, status)}
                  </span>
                  {latency_ms !== null && <span>{latency_ms.toLocaleString()} ms</span>}
                  <span className="ml-auto text-quiet">
                    <Ago time={started_at} />
                  </span>
                </span>
                {response && (
                  <pre
                    tabIndex={0}
                    className="max-h-32 overflow-auto rounded-sm bg-page px-2 py-1 font-mono text-xs break-all whitespace-pre-wrap"
                  >
                    {response}
                  </pre>
                )}
              </li>
            ))}
          </ol>
        )}
    </section>
  );
}

/** The content that the endpoint gets for the event, as it is now. */
function Content({ delivery }: { delivery: Delivery }) {
  const [asked, setAsked] = useState(false);
  const { data: preview, error } = useQuery({
    ...queries.webhooks.preview(delivery.endpoint_id, delivery.event_id),
    enabled: asked,
  });
  if (!asked) {
    return (
      <button
        type="button"
        className="button justify-self-start"
        onClick={() => setAsked(true)}
      >
        Show the content
      </button>
    );
  }
  if (!preview) return error ? <Problem error={error} /> : <Skeleton />;
  return <Json title="Content" value={preview.event} />;
}
