import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { queries } from "../connection.ts";
import type { Organization } from "../organization.tsx";
import { Confirm } from "../ui/confirm.tsx";
import { FormDialog } from "../ui/form_dialog.tsx";
import { useNames } from "../ui/names.ts";
import { Ago, Badge, Empty, Field } from "../ui/parts.tsx";
import { Actions, Cell, Row, Table } from "../ui/table.tsx";
import { ChooseMembers, type Chosen } from "./choose_members.tsx";

/** Holds that keep entries of the log from retention and erasure. */
export function Holds({ organization }: { organization: Organization }) {
  const { data: all, error } = useQuery(queries.audit.holds());
  const { data: me } = useQuery(queries.whoami());
  const holds = all?.filter(({ organization_id }) => organization_id === organization.id);
  const nameOf = useNames(
    organization.id,
    holds?.flatMap(({ placed_by, subject_id }) => [placed_by, subject_id]) ?? [],
  );
  const manages = organization.permissions.includes("compliance:manage");
  const isOperator = me?.roles.includes("super_admin") ?? false;
  return (
    <>
      <div className="flex flex-wrap items-center gap-3">
        <p className="min-w-48 flex-1 text-quiet">
          While a hold is in force, neither retention nor an erasure removes what it keeps.
        </p>
        {manages && <PlaceHold organization={organization} />}
      </div>
      <Table
        label="Legal holds"
        columns={["Reason", "Keeps", "State", "Placed", "By", { hidden: "Actions" }]}
        rows={holds}
        error={error}
        empty={
          <Empty title="No legal hold">
            Somebody with compliance:manage places one, so that evidence for a dispute stays.
          </Empty>
        }
      >
        {(hold) => (
          <Row key={hold.id} data-hold={hold.reason}>
            <Cell className="max-w-72 truncate font-medium" title={hold.reason}>
              {hold.reason}
            </Cell>
            <Cell className="whitespace-nowrap">
              {hold.subject_id !== null
                ? `entries of ${nameOf(hold.subject_id)}`
                : hold.resource_type !== null
                ? `${hold.resource_type} ${hold.resource_id ?? ""}`
                : "the whole log"}
            </Cell>
            <Cell>
              {hold.released_at === null
                ? <Badge tone="warn">in force</Badge>
                : <Badge>released</Badge>}
            </Cell>
            <Cell className="text-quiet">
              <Ago time={hold.placed_at} />
            </Cell>
            <Cell className="whitespace-nowrap text-quiet">{nameOf(hold.placed_by)}</Cell>
            <Actions>
              {manages && hold.released_at === null && (isOperator || !hold.placed_by_operator) && (
                <Release id={hold.id} reason={hold.reason} />
              )}
            </Actions>
          </Row>
        )}
      </Table>
    </>
  );
}

function Release({ id, reason }: { id: string; reason: string }) {
  const release = useMutation(queries.audit.releaseHold());
  return (
    <Confirm
      trigger="Release"
      label={`Release ${reason}`}
      title="Release this hold?"
      action="Release"
      plain
      mutation={release}
      onConfirm={(close) => release.mutate([id], { onSuccess: close })}
    >
      Retention and erasures remove what it kept from now on, unless another hold keeps it.
    </Confirm>
  );
}

function PlaceHold({ organization }: { organization: Organization }) {
  const place = useMutation(queries.audit.placeHold());
  const [keeps, setKeeps] = useState("all");
  const [person, setPerson] = useState<readonly Chosen[]>([]);
  return (
    <FormDialog
      trigger="Place a hold"
      title="Place a legal hold"
      action="Place"
      look="primary"
      mutation={place}
      onSubmit={(form, close) => {
        const id = String(form.get("id") ?? "").trim();
        place.mutate([{
          organization_id: organization.id,
          reason: String(form.get("reason")).trim(),
          ...keeps === "person" ? { subject_id: person[0]?.id } : {},
          ...keeps === "resource" ? { resource_type: String(form.get("type")).trim() } : {},
          ...keeps === "resource" && id ? { resource_id: id } : {},
        }], { onSuccess: close });
      }}
    >
      <Field label="Reason" name="reason" required maxLength={1000} placeholder="Case 2026-14" />
      <label className="grid gap-1 font-medium">
        Keeps
        <select
          className="field font-normal"
          value={keeps}
          onChange={({ target }) => setKeeps(target.value)}
        >
          <option value="all">The whole log of {organization.name}</option>
          <option value="person">Entries of a person</option>
          <option value="resource">Entries about a resource</option>
        </select>
      </label>
      {keeps === "person" && (
        <ChooseMembers
          organization={organization}
          label="Person"
          gone
          chosen={person}
          onChange={setPerson}
        />
      )}
      {keeps === "resource" && (
        <>
          <Field label="Type" name="type" required placeholder="public.invoices" />
          <Field label="Id" name="id" hint="Empty: all of this type" />
        </>
      )}
    </FormDialog>
  );
}
