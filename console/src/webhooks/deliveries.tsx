import type { Rows } from "@bulwark/client";
import { useInfiniteQuery, useMutation, useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { Severity } from "../audit/severity.tsx";
import { queries } from "../connection.ts";
import type { Organization } from "../organization.tsx";
import { FormDialog } from "../ui/form_dialog.tsx";
import { Ago, Empty, Problem } from "../ui/parts.tsx";
import { Actions, Cell, Row, Table } from "../ui/table.tsx";
import { type Shown, statuses } from "./address.ts";
import { Carried, DeliveryDrawer } from "./delivery.tsx";
import { Status, statusNames } from "./state.tsx";

/** The deliveries of an endpoint, newest first, those that wait included. */
export function Deliveries({ endpoint, manages, organization }: {
  endpoint: Rows["webhook_endpoints"];
  manages: boolean;
  organization: Organization;
}) {
  const shown = useSearch({ from: "/shell/o/$slug/webhooks/$endpoint" });
  const navigate = useNavigate({ from: "/o/$slug/webhooks/$endpoint" });
  const show = (search: Shown) => void navigate({ search, replace: true });
  const deliveries = useInfiniteQuery({
    ...queries.webhooks.log(endpoint.id, shown.status ? { statuses: [shown.status] } : {}),
    refetchInterval: 15_000,
    placeholderData: (before) => before,
  });
  const rows = deliveries.data?.pages.flat();
  const opened = rows?.find(({ id }) => id === shown.delivery) ?? null;
  return (
    <>
      <div className="flex flex-wrap items-center gap-2">
        <h2 className="flex-1 text-base font-semibold">Deliveries</h2>
        <select
          aria-label="Status"
          className="field w-auto"
          value={shown.status ?? ""}
          onChange={({ target }) => {
            const status = statuses.find((one) => one === target.value);
            show(status ? { status } : {});
          }}
        >
          <option value="">Any status</option>
          {statuses.map((one) => <option key={one} value={one}>{statusNames[one]}</option>)}
        </select>
        {manages && <ReplayAll endpoint={endpoint} />}
      </div>
      <Table
        label="Deliveries"
        columns={["Event", "Severity", "Status", "Attempts", "Happened", "Ended", {
          hidden: "Actions",
        }]}
        rows={rows}
        error={deliveries.error}
        pages={deliveries}
        empty={
          <Empty title={shown.status ? "No delivery has this status" : "Nothing was sent yet"}>
            Each event that the endpoint subscribes to is listed here, with every attempt to deliver
            it. A test event is one, too.
          </Empty>
        }
      >
        {(delivery) => (
          <Row key={delivery.id} data-delivery={delivery.status}>
            <Cell className="max-w-80 truncate">
              <button
                type="button"
                className="max-w-full truncate rounded-sm font-medium"
                onClick={() => show({ ...shown, delivery: delivery.id })}
              >
                {delivery.event_type}
              </button>
            </Cell>
            <Cell>
              <Severity severity={delivery.severity} />
            </Cell>
            <Cell>
              <Status status={delivery.status} />
            </Cell>
            <Cell>{delivery.attempts}</Cell>
            <Cell className="text-quiet">
              <Ago time={delivery.occurred_at} />
            </Cell>
            <Cell className="text-quiet">
              {delivery.finished_at && <Ago time={delivery.finished_at} />}
            </Cell>
            <Actions>
              <Carried
                delivery={delivery}
                organization={organization}
                look="button plain h-7 px-2"
              />
              {delivery.status === "pending"
                ? <NextTry due={delivery.due_at} disabled={endpoint.disabled_at !== null} />
                : manages && <Replay delivery={delivery} />}
            </Actions>
          </Row>
        )}
      </Table>
      <DeliveryDrawer
        delivery={opened}
        organization={organization}
        action={opened && manages && opened.status !== "pending" && <Replay delivery={opened} />}
        onClose={() => show(shown.status ? { status: shown.status } : {})}
      />
    </>
  );
}

/** When a delivery that waits is tried next. The database does that by itself. */
function NextTry({ due, disabled }: { due: string; disabled: boolean }) {
  return (
    <span className="whitespace-nowrap text-quiet">
      {disabled
        ? "Waits until the endpoint is enabled"
        : Date.parse(due) <= Date.now()
        ? "Is tried now"
        : (
          <>
            Next try <Ago time={due} />
          </>
        )}
    </span>
  );
}

/** Delivers one again, under its id. */
function Replay({ delivery: { id, event_type } }: { delivery: Rows["webhook_deliveries"] }) {
  const replay = useMutation(queries.webhooks.replay());
  return (
    <>
      <Problem error={replay.error} />
      <button
        type="button"
        className="button plain h-7 px-2"
        aria-label={`Send again: ${event_type}`}
        disabled={replay.isPending}
        onClick={() => replay.mutate([id])}
      >
        Send again
      </button>
    </>
  );
}

/** Delivers all again that were given up. */
function ReplayAll({ endpoint }: { endpoint: Rows["webhook_endpoints"] }) {
  const replay = useMutation(queries.webhooks.replayRange());
  const { data: dead } = useQuery({
    ...queries.webhooks.deliveries(endpoint.id, { statuses: ["dead"], page_size: 1 }),
    refetchInterval: 15_000,
  });
  return (
    <>
      {replay.data !== undefined && (
        <span role="status" className="text-quiet">
          Sent again: {replay.data.toLocaleString()}
        </span>
      )}
      <FormDialog
        trigger="Send given-up ones again"
        disabled={!dead?.length}
        title="Send all again that were given up?"
        about="The oldest first, up to 10,000 at a time. Each keeps its id, by which receivers know repetitions."
        action="Send again"
        // The result stays on the page when the dialog is closed.
        mutation={{ error: replay.error, isPending: replay.isPending, reset: () => {} }}
        onSubmit={(_form, close) => {
          const until = new Date().toISOString();
          replay.mutate([endpoint.id, { since: new Date(0).toISOString(), until }], {
            onSuccess: close,
          });
        }}
      />
    </>
  );
}
