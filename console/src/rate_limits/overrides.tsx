import type { Rows } from "@bulwark/client";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { queries } from "../connection.ts";
import { Confirm } from "../ui/confirm.tsx";
import { FormDialog } from "../ui/form_dialog.tsx";
import { Empty, Field, Id } from "../ui/parts.tsx";
import { Actions, Cell, Row, Table } from "../ui/table.tsx";
import { LimitFields, limitIn } from "./limit_fields.tsx";
import { limitWords } from "./words.ts";

type Override = Rows["rate_limit_overrides"];

/** Other limits for one organization or one API key. */
export function Overrides() {
  const { data: overrides, error } = useQuery(queries.limits.overrides());
  const { data: organizations } = useQuery(queries.organizations.list());
  const { data: rules } = useQuery(queries.limits.rules());
  const nameOf = (id: string) => organizations?.find((one) => one.id === id)?.name;
  const ruleOf = (name: string) => rules?.find((one) => one.name === name);
  return (
    <>
      <div className="flex flex-wrap items-center gap-3">
        <p className="min-w-48 flex-1 text-quiet">
          An override has buckets of its own. That of an API key comes before its organization's.
        </p>
        <NewOverride organizations={organizations ?? []} rules={rules ?? []} />
      </div>
      <Table
        label="Overrides"
        columns={["Rule", "For", "Limit", "Instead of", { hidden: "Actions" }]}
        rows={overrides}
        error={error}
        empty={<Empty title="No override">Everybody has the limits of the rules.</Empty>}
      >
        {(override) => {
          const { id, rule, organization_id, api_key_id, capacity, window_seconds } = override;
          const usual = ruleOf(rule);
          const name = organization_id === null
            ? `API key ${api_key_id?.slice(0, 8)}`
            : nameOf(organization_id) ?? organization_id.slice(0, 8);
          return (
            <Row key={id} data-override={name}>
              <Cell className="font-mono text-xs whitespace-nowrap">{rule}</Cell>
              <Cell className="whitespace-nowrap">
                {organization_id === null
                  ? (
                    <>
                      API key <Id id={api_key_id ?? ""} />
                    </>
                  )
                  : nameOf(organization_id) ?? <Id id={organization_id} />}
              </Cell>
              <Cell className="font-medium whitespace-nowrap">
                {limitWords(capacity, window_seconds)}
              </Cell>
              <Cell className="whitespace-nowrap text-quiet">
                {usual && limitWords(usual.capacity, usual.window_seconds)}
              </Cell>
              <Actions>
                <Change override={override} name={name} />
                <Clear override={override} name={name} />
              </Actions>
            </Row>
          );
        }}
      </Table>
    </>
  );
}

const ownerOf = ({ organization_id, api_key_id }: Override) =>
  organization_id === null ? { api_key_id } : { organization_id };

function Change({ override, name }: { override: Override; name: string }) {
  const set = useMutation(queries.limits.set());
  return (
    <FormDialog
      trigger="Change"
      label={`Change ${override.rule} for ${name}`}
      look="plain h-7 px-2"
      title={`Change ${override.rule} for ${name}`}
      action="Save"
      mutation={set}
      onSubmit={(form, close) =>
        set.mutate([{ rule: override.rule, ...ownerOf(override), ...limitIn(form) }], {
          onSuccess: close,
        })}
    >
      <LimitFields capacity={override.capacity} seconds={override.window_seconds} />
    </FormDialog>
  );
}

function Clear({ override, name }: { override: Override; name: string }) {
  const clear = useMutation(queries.limits.clear());
  return (
    <Confirm
      trigger="Remove"
      label={`Remove ${override.rule} for ${name}`}
      title={`Remove the override for ${name}?`}
      action="Remove"
      plain
      mutation={clear}
      onConfirm={(close) =>
        clear.mutate([{ rule: override.rule, ...ownerOf(override) }], { onSuccess: close })}
    >
      The limit of the rule {override.rule} holds again from the next call on.
    </Confirm>
  );
}

function NewOverride({ organizations, rules }: {
  organizations: readonly Pick<Rows["organizations"], "id" | "name">[];
  rules: readonly Rows["rate_limit_rules"][];
}) {
  const set = useMutation(queries.limits.set());
  const [of, setOf] = useState("organization");
  return (
    <FormDialog
      trigger="New override"
      title="New override"
      action="Save"
      look="primary"
      mutation={set}
      onSubmit={(form, close) => {
        const owner = String(form.get("owner")).trim();
        set.mutate([{
          rule: String(form.get("rule")),
          ...of === "organization" ? { organization_id: owner } : { api_key_id: owner },
          ...limitIn(form),
        }], { onSuccess: close });
      }}
    >
      <label className="grid gap-1 font-medium">
        Rule
        <select name="rule" className="field font-normal">
          {rules.map(({ name, description }) => (
            <option key={name} value={name}>{name}: {description}</option>
          ))}
        </select>
      </label>
      <label className="grid gap-1 font-medium">
        For
        <select
          className="field font-normal"
          value={of}
          onChange={({ target }) => setOf(target.value)}
        >
          <option value="organization">An organization</option>
          <option value="key">An API key</option>
        </select>
      </label>
      {of === "organization"
        ? (
          <label className="grid gap-1 font-medium">
            Organization
            <select name="owner" required className="field font-normal">
              {organizations.map(({ id, name }) => <option key={id} value={id}>{name}</option>)}
            </select>
          </label>
        )
        : (
          <Field
            label="Id of the key"
            name="owner"
            required
            pattern="[\da-fA-F]{8}(-[\da-fA-F]{4}){3}-[\da-fA-F]{12}"
          />
        )}
      <LimitFields />
    </FormDialog>
  );
}
