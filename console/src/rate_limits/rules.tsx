import type { Rows } from "@bulwark/client";
import { useMutation, useQuery } from "@tanstack/react-query";
import { queries } from "../connection.ts";
import { FormDialog } from "../ui/form_dialog.tsx";
import { Empty } from "../ui/parts.tsx";
import { Actions, Cell, Row, Table } from "../ui/table.tsx";
import { LimitFields, limitIn } from "./limit_fields.tsx";
import { limitWords, subjects } from "./words.ts";

/** The rules of all callers. */
export function Rules() {
  const { data: rules, error } = useQuery(queries.limits.rules());
  return (
    <Table
      label="Rules"
      columns={["Rule", "For", "Limit", "Charged to", "If the store fails", { hidden: "Actions" }]}
      rows={rules}
      error={error}
      empty={<Empty title="No rule">Applications add rows to rate_limit_rules.</Empty>}
    >
      {(rule) => (
        <Row key={rule.name} data-rule={rule.name}>
          <Cell className="font-mono text-xs whitespace-nowrap">{rule.name}</Cell>
          <Cell className="whitespace-nowrap">{rule.description}</Cell>
          <Cell className="font-medium whitespace-nowrap">
            {limitWords(rule.capacity, rule.window_seconds)}
          </Cell>
          <Cell className="whitespace-nowrap text-quiet">{subjects[rule.identified_by]}</Cell>
          <Cell className="text-quiet">
            {rule.when_store_fails === "open" ? "admits" : "refuses"}
          </Cell>
          <Actions>
            <Change rule={rule} />
          </Actions>
        </Row>
      )}
    </Table>
  );
}

function Change({ rule }: { rule: Rows["rate_limit_rules"] }) {
  const set = useMutation(queries.limits.set());
  return (
    <FormDialog
      trigger="Change"
      label={`Change ${rule.name}`}
      look="plain h-7 px-2"
      title={`Change ${rule.name}`}
      action="Save"
      mutation={set}
      onSubmit={(form, close) =>
        set.mutate([{ rule: rule.name, ...limitIn(form) }], { onSuccess: close })}
    >
      <p className="text-quiet">For everybody without an override, from the next call on.</p>
      <LimitFields capacity={rule.capacity} seconds={rule.window_seconds} />
    </FormDialog>
  );
}
