import type { Rows } from "@bulwark/client";
import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { type Organization, useBulwarkQueries, useText } from "../blocks/provider.tsx";
import { actionAlone, Ago, Empty } from "../ui/parts.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { NewEndpoint } from "./new_endpoint.tsx";
import { type Secret, ShownSecret } from "./secret.tsx";
import { State } from "./state.tsx";

const number = new Intl.NumberFormat();
const day = 86_400_000;

/** The endpoints of an organization, and how deliveries to each go. */
export function WebhooksCard(
  { organization, head = actionAlone, nameOf = ({ name }) => name }: {
    organization: Organization;
    /** Places the button that adds an endpoint. */
    head?(action: ReactNode): ReactNode;
    /** The name of an endpoint, such as a link to more about it. */
    nameOf?(endpoint: Rows["webhook_endpoints"]): ReactNode;
  },
) {
  const queries = useBulwarkQueries();
  const t = useText();
  const [secret, setSecret] = useState<Secret | null>(null);
  const list = useQuery(queries.webhooks.list(organization.id));
  // Finished deliveries are kept for 30 days. By the day, so that the question stays the same.
  const [since] = useState(() =>
    new Date(Math.floor(Date.now() / day) * day - 30 * day).toISOString()
  );
  const { data: stats } = useQuery({
    ...queries.webhooks.stats(organization.id, since),
    refetchInterval: 15_000,
  });
  return (
    <>
      {head(
        organization.permissions.includes("webhook:manage") && (
          <NewEndpoint organization={organization} onMade={setSecret} />
        ),
      )}
      {secret && <ShownSecret shown={secret} onKept={() => setSecret(null)} />}
      <Table
        label={t("Endpoints")}
        columns={[
          t("Name"),
          t("Receiver"),
          t("State"),
          t("Arrived"),
          t("Waiting"),
          t("Given up"),
          t("95 % within"),
          t("Arrived last"),
        ]}
        rows={list.data}
        error={list.error}
        empty={
          <Empty title={t("No endpoint")}>
            {t(
              "An endpoint sends audit entries and security events to Slack, PagerDuty or a service of " +
                "yours. An administrator can add one.",
            )}
          </Empty>
        }
      >
        {(endpoint) => {
          const counted = stats?.find(({ endpoint_id }) => endpoint_id === endpoint.id);
          return (
            <Row key={endpoint.id} data-endpoint={endpoint.name}>
              <Cell className="font-medium whitespace-nowrap">
                {nameOf(endpoint)}
              </Cell>
              <Cell className="max-w-72 truncate font-mono text-xs text-quiet">
                {endpoint.origin}
              </Cell>
              <Cell>
                <State
                  disabled={endpoint.disabled_reason}
                  failing={(counted?.failing_since ?? null) !== null}
                  working={(counted?.last_delivered_at ?? null) !== null}
                />
              </Cell>
              <Cell>{counted && number.format(counted.delivered)}</Cell>
              <Cell>{counted && number.format(counted.pending)}</Cell>
              <Cell className={counted?.dead ? "font-medium text-bad" : ""}>
                {counted && number.format(counted.dead)}
              </Cell>
              <Cell className="whitespace-nowrap text-quiet">
                {counted?.p95_ms != null && `${number.format(counted.p95_ms)} ms`}
              </Cell>
              <Cell className="text-quiet">
                {counted?.last_delivered_at && <Ago time={counted.last_delivered_at} />}
              </Cell>
            </Row>
          );
        }}
      </Table>
      {list.data && list.data.length > 0 && (
        <p className="text-xs text-quiet">
          {t("Numbers are those of each endpoint's newest 1,000 deliveries of the last 30 days.")}
        </p>
      )}
    </>
  );
}
