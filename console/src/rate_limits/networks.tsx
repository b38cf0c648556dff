import { useMutation, useQuery } from "@tanstack/react-query";
import { queries } from "../connection.ts";
import { Confirm } from "../ui/confirm.tsx";
import { FormDialog } from "../ui/form_dialog.tsx";
import { useNames } from "../ui/names.ts";
import { Ago, Badge, Copy, Empty, Field } from "../ui/parts.tsx";
import { Actions, Cell, Row, Table } from "../ui/table.tsx";

/** Networks that are always allowed, or always blocked. */
export function Networks() {
  const { data: networks, error } = useQuery(queries.limits.networks());
  const nameOf = useNames(null, networks?.map(({ created_by }) => created_by) ?? []);
  return (
    <>
      <div className="flex flex-wrap items-center gap-3">
        <p className="min-w-48 flex-1 text-quiet">
          Where an allowed and a blocked network overlap, allowed counts.
        </p>
        <ListNetwork />
      </div>
      <Table
        label="Networks"
        columns={["Network", "Verdict", "Reason", "By", "Listed", "Ends", { hidden: "Actions" }]}
        rows={networks}
        error={error}
        empty={
          <Empty title="No network is listed">
            Block a network that attacks, or allow one that must never be blocked.
          </Empty>
        }
      >
        {({ network, verdict, reason, created_by, created_at, expires_at }) => (
          <Row key={network} data-network={network}>
            <Cell className="whitespace-nowrap">
              <Copy text={network} label="Copy the network">{network}</Copy>
            </Cell>
            <Cell>
              {verdict === "allow"
                ? <Badge tone="good">allowed</Badge>
                : <Badge tone="bad">blocked</Badge>}
            </Cell>
            <Cell className="max-w-72 truncate" title={reason}>{reason}</Cell>
            <Cell className="whitespace-nowrap text-quiet">{nameOf(created_by)}</Cell>
            <Cell className="text-quiet">
              <Ago time={created_at} />
            </Cell>
            <Cell className="text-quiet">{expires_at ? <Ago time={expires_at} /> : "never"}</Cell>
            <Actions>
              <Unlist network={network} />
            </Actions>
          </Row>
        )}
      </Table>
    </>
  );
}

function Unlist({ network }: { network: string }) {
  const unlist = useMutation(queries.limits.unlistNetwork());
  return (
    <Confirm
      trigger="Remove"
      label={`Remove ${network}`}
      title={`Remove ${network}?`}
      action="Remove"
      plain
      mutation={unlist}
      onConfirm={(close) => unlist.mutate([network], { onSuccess: close })}
    >
      Callers from there are treated as all others from the next request on.
    </Confirm>
  );
}

function ListNetwork() {
  const list = useMutation(queries.limits.listNetwork());
  return (
    <FormDialog
      trigger="List a network"
      title="List a network"
      action="List"
      look="primary"
      mutation={list}
      onSubmit={(form, close) => {
        const ends = String(form.get("ends"));
        list.mutate([{
          network: String(form.get("network")).trim(),
          verdict: form.get("verdict") === "allow" ? "allow" : "block",
          reason: String(form.get("reason")).trim(),
          ...ends ? { expires_at: new Date(`${ends}T23:59:59`).toISOString() } : {},
        }], { onSuccess: close });
      }}
    >
      <Field label="Network" name="network" required placeholder="203.0.113.0/24" />
      <label className="grid gap-1 font-medium">
        Verdict
        <select name="verdict" className="field font-normal">
          <option value="block">Block it</option>
          <option value="allow">Always allow it</option>
        </select>
      </label>
      <Field label="Reason" name="reason" required maxLength={500} />
      <Field label="Until" name="ends" type="date" hint="Empty: until somebody removes it" />
    </FormDialog>
  );
}
