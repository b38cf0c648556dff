import { useMutation, useQuery } from "@tanstack/react-query";
import { queries } from "../connection.ts";
import { Confirm } from "../ui/confirm.tsx";
import { Ago, Empty } from "../ui/parts.tsx";
import { Actions, Cell, Row, Table } from "../ui/table.tsx";
import { AlertForm, type AlertRule } from "./alert_form.tsx";
import { withUnit } from "./words.ts";

/** Rules with thresholds, and whether a metric is above them. */
export function Alerts() {
  const { data: alerts, error } = useQuery({
    ...queries.metrics.alerts(),
    refetchInterval: 30_000,
  });
  const { data: metrics } = useQuery(queries.metrics.list());
  const { data: me } = useQuery(queries.whoami());
  const manages = me?.permissions.includes("system:admin") ?? false;
  const unitOf = (metric: string) => metrics?.find(({ name }) => name === metric)?.unit;
  return (
    <>
      <div className="flex flex-wrap items-center gap-3">
        <p className="min-w-48 flex-1 text-quiet">
          An alert above its threshold raises a security event, and resolves it afterwards.
        </p>
        {manages && <AlertForm metrics={metrics ?? []} />}
      </div>
      <Table
        label="Alerts"
        columns={["Alert", "State", "Value", "Warning", "Critical", "Since", { hidden: "Actions" }]}
        rows={alerts}
        error={error}
        empty={<Empty title="No alert rule">A rule compares a metric with thresholds.</Empty>}
      >
        {(alert) => {
          const unit = alert.statistic === "rate" ? undefined : unitOf(alert.metric);
          const words = (value: number | null) =>
            value === null ? "–" : withUnit(value, unit) + (alert.statistic === "rate" ? "/s" : "");
          return (
            <Row key={alert.name} data-alert={alert.name}>
              <Cell className="whitespace-nowrap">
                <span className="font-medium" title={alert.description}>{alert.name}</span>{" "}
                <span className="text-quiet">{alert.statistic}</span>
                {alert.metric !== alert.name && (
                  <span className="text-quiet">of {alert.metric}</span>
                )}
              </Cell>
              <Cell>
                <State state={alert.enabled ? alert.state ?? "no_data" : "off"} />
              </Cell>
              <Cell className="font-medium whitespace-nowrap">{words(alert.value)}</Cell>
              <Cell className="whitespace-nowrap">{words(alert.warning)}</Cell>
              <Cell className="whitespace-nowrap">{words(alert.critical)}</Cell>
              <Cell className="text-quiet">{alert.since && <Ago time={alert.since} />}</Cell>
              <Actions>
                {manages && (
                  <>
                    <AlertForm metrics={metrics ?? []} rule={alert} />
                    <Delete name={alert.name} />
                  </>
                )}
              </Actions>
            </Row>
          );
        }}
      </Table>
    </>
  );
}

const looks = {
  ok: { shape: "○", colour: "text-good", word: "ok" },
  no_data: { shape: "·", colour: "text-quiet", word: "no data" },
  warning: { shape: "▲", colour: "text-warn", word: "warning" },
  critical: { shape: "■", colour: "text-bad font-semibold", word: "critical" },
  off: { shape: "–", colour: "text-quiet", word: "off" },
} as const;

function State({ state }: { state: keyof typeof looks }) {
  const { shape, colour, word } = looks[state];
  return (
    <span className={`flex items-center gap-1.5 whitespace-nowrap ${colour}`}>
      <span aria-hidden className="w-3 text-center">{shape}</span>
      {word}
    </span>
  );
}

function Delete({ name }: Pick<AlertRule, "name">) {
  const remove = useMutation(queries.metrics.deleteAlert());
  return (
    <Confirm
      trigger="Delete"
      label={`Delete ${name}`}
      title={`Delete ${name}?`}
      action="Delete"
      plain
      mutation={remove}
      onConfirm={(close) => remove.mutate([name], { onSuccess: close })}
    >
      Nobody is told any more when the metric is too high. An open event of it is resolved.
    </Confirm>
  );
}
