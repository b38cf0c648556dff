import type { Rows } from "@bulwark/client";
import { useMutation, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { type ReactNode, useState } from "react";
import { queries } from "../connection.ts";
import { Missing } from "../failed.tsx";
import { OfOrganization, type Organization } from "../organization.tsx";
import { Confirm } from "../ui/confirm.tsx";
import { Fact, Facts } from "../ui/facts.tsx";
import { Ago, Heading, Id, Problem, Section, Skeleton, useTitle } from "../ui/parts.tsx";
import { Deliveries } from "./deliveries.tsx";
import { Edit, Move } from "./edit.tsx";
import { RotateSecret, type Secret, ShownSecret } from "./secret.tsx";
import { outcomeOf, State } from "./state.tsx";

type Endpoint = Rows["webhook_endpoints"];

/** One endpoint: its state, events and deliveries. */
export function EndpointScreen() {
  return (
    <OfOrganization title="Webhooks" permission="webhook:read">
      {(organization) => <Loaded organization={organization} />}
    </OfOrganization>
  );
}

function Loaded({ organization }: { organization: Organization }) {
  const { endpoint: id } = useParams({ from: "/shell/o/$slug/webhooks/$endpoint" });
  const { data: endpoint, error } = useQuery(queries.webhooks.get(id));
  if (endpoint === null || endpoint && endpoint.organization_id !== organization.id) {
    return <Missing />;
  }
  if (!endpoint) return error ? <Problem error={error} /> : <Skeleton />;
  return <Shown key={endpoint.id} endpoint={endpoint} organization={organization} />;
}

function Shown({ endpoint, organization }: { endpoint: Endpoint; organization: Organization }) {
  useTitle(endpoint.name, "Webhooks", organization.name);
  const [secret, setSecret] = useState<Secret | null>(null);
  const { id, name } = endpoint;
  const { data: health } = useQuery({ ...queries.webhooks.health(id), refetchInterval: 15_000 });
  const { data: subscriptions } = useQuery(queries.webhooks.subscriptions(id));
  const manages = organization.permissions.includes("webhook:manage");
  return (
    <>
      <div>
        <Link to="/o/$slug/webhooks" params={{ slug: organization.slug }} className="link">
          Webhooks
        </Link>
        <Heading action={manages && <Test endpoint={id} />}>{name}</Heading>
      </div>
      {secret && <ShownSecret shown={secret} onKept={() => setSecret(null)} />}
      <Section
        title="Endpoint"
        action={manages && (
          <span className="flex flex-wrap gap-2">
            {subscriptions && (
              <Edit endpoint={endpoint} subscriptions={subscriptions} organization={organization} />
            )}
            <Move endpoint={endpoint} />
            <RotateSecret endpoint={id} name={name} onMade={setSecret} />
            <Switch endpoint={endpoint} />
            <Delete endpoint={endpoint} slug={organization.slug} />
          </span>
        )}
      >
        <div className="grid gap-x-8 gap-y-1.5 border-t border-line px-4 py-3 lg:grid-cols-2">
          <Facts>
            <Fact name="State">
              <State
                disabled={endpoint.disabled_reason}
                failing={(health?.failing_since ?? null) !== null}
                pausing={(health?.consecutive_timeouts ?? 0) > 0}
                working={health?.proven ?? false}
              />
            </Fact>
            {health?.failing_since && (
              <Fact name="Failing">
                since <Ago time={health.failing_since} />, {health.consecutive_failures} in a row
              </Fact>
            )}
            <Fact name="Receiver">
              <span className="font-mono text-xs">{endpoint.origin}</span>
            </Fact>
            <Fact name="Format">{endpoint.format}</Fact>
            <Fact name="Created">
              <Ago time={endpoint.created_at} />
            </Fact>
            <Fact name="Endpoint">
              <Id id={id} />
            </Fact>
          </Facts>
          <Facts>
            <Fact name="Events">
              <ul className="grid gap-0.5">
                {subscriptions?.map(({ pattern, minimum_severity }) => (
                  <li key={pattern}>
                    <span className="font-mono text-xs">{pattern}</span>
                    {minimum_severity !== "debug" && (
                      <span className="text-quiet">, from {minimum_severity}</span>
                    )}
                  </li>
                ))}
              </ul>
            </Fact>
            <Fact name="Order">
              {endpoint.ordering === "none"
                ? "as fast as possible"
                : endpoint.ordering === "resource"
                ? "in order for each resource"
                : "all in order"}
            </Fact>
            <Fact name="Details">
              {endpoint.include_details ? "included" : "types and ids only"}
            </Fact>
            <Fact name="Redirects">{endpoint.follow_redirects ? "followed" : "refused"}</Fact>
          </Facts>
        </div>
      </Section>
      <Deliveries endpoint={endpoint} manages={manages} organization={organization} />
    </>
  );
}

/** Sends a sample, and says what became of it. */
function Test({ endpoint }: { endpoint: string }) {
  const test = useMutation(queries.webhooks.test());
  const { data: result, error } = test;
  return (
    <span className="flex flex-wrap items-center justify-end gap-2">
      <Problem error={error} />
      {result && (
        <span role="status" className="text-quiet">
          The test event:{" "}
          <span
            className={result.outcome === "delivered"
              ? "text-good"
              : result.outcome === null
              ? "text-ink"
              : "text-bad"}
          >
            {outcomeOf(result.outcome, result.status)}
          </span>
          {result.latency_ms != null && `, ${result.latency_ms} ms`}
        </span>
      )}
      <button
        type="button"
        className="button primary"
        disabled={test.isPending}
        onClick={() => test.mutate([endpoint])}
      >
        Send a test event
      </button>
    </span>
  );
}

function Switch({ endpoint: { id, name, disabled_at } }: { endpoint: Endpoint }) {
  const enable = useMutation(queries.webhooks.enable());
  const disable = useMutation(queries.webhooks.disable());
  if (disabled_at !== null) {
    return (
      <>
        <Problem error={enable.error} />
        <button
          type="button"
          className="button"
          disabled={enable.isPending}
          onClick={() => enable.mutate([id])}
        >
          Enable
        </button>
      </>
    );
  }
  return (
    <Ask trigger="Disable" title={`Disable ${name}?`} mutation={disable} id={id}>
      Nothing new is queued for it. Deliveries that wait go out when it is enabled again.
    </Ask>
  );
}

function Delete({ endpoint: { id, name }, slug }: { endpoint: Endpoint; slug: string }) {
  const navigate = useNavigate();
  const remove = useMutation({
    ...queries.webhooks.delete(),
    onSuccess: () => navigate({ to: "/o/$slug/webhooks", params: { slug } }),
  });
  return (
    <Ask trigger="Delete" title={`Delete ${name}?`} mutation={remove} id={id}>
      Its address and secrets are gone for good, and deliveries that wait are dropped.
    </Ask>
  );
}

function Ask({ trigger, title, mutation, id, children }: {
  trigger: string;
  title: string;
  mutation: React.ComponentProps<typeof Confirm>["mutation"] & {
    mutate(args: [string], then?: { onSuccess(): void }): void;
  };
  id: string;
  children: ReactNode;
}) {
  return (
    <Confirm
      trigger={trigger}
      title={title}
      action={trigger}
      mutation={mutation}
      onConfirm={(close) => mutation.mutate([id], { onSuccess: close })}
    >
      {children}
    </Confirm>
  );
}
