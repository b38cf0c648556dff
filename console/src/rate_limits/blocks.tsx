import type { Rows } from "@bulwark/client";
import { useMutation, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { queries } from "../connection.ts";
import { Confirm } from "../ui/confirm.tsx";
import { Ago, Badge, Empty, Id } from "../ui/parts.tsx";
import { Actions, Cell, Row, Table } from "../ui/table.tsx";

type Block = Rows["rate_limit_blocks"];

const kinds: Record<string, string> = {
  address: "an address",
  pair: "an address with an account",
  api_key: "API key",
};

/** Callers who went on after they were refused, and may not call for a while. */
export function Blocks() {
  const [ended, setEnded] = useState(false);
  const { data: all, error } = useQuery({ ...queries.limits.blocks(), refetchInterval: 15_000 });
  const inForce = ({ lifted_at, expires_at }: Block) =>
    lifted_at === null && Date.parse(expires_at) > Date.now();
  const blocks = ended ? all : all?.filter(inForce);
  return (
    <>
      <label className="flex items-center gap-2 justify-self-start text-quiet">
        <input
          type="checkbox"
          checked={ended}
          onChange={({ target }) => setEnded(target.checked)}
        />
        With those that ended
      </label>
      <Table
        label="Blocks"
        columns={["Caller", "State", "Rule", "In a row", "Blocked", "Until", { hidden: "Actions" }]}
        rows={blocks}
        error={error}
        empty={
          <Empty title="Nobody is blocked">
            A caller over a limit waits for as long as the refusal says, and is not listed. One who
            is refused too often is blocked, for longer each time.
          </Empty>
        }
      >
        {(block) => (
          <Row key={block.id} data-block={block.id}>
            <Cell className="whitespace-nowrap">
              {kinds[block.kind] ?? block.kind} <Id id={block.api_key_id ?? block.identifier} />
            </Cell>
            <Cell>
              {inForce(block)
                ? <Badge tone="bad">blocked</Badge>
                : <Badge>{block.lifted_at === null ? "ended" : "lifted"}</Badge>}
            </Cell>
            <Cell className="font-mono text-xs whitespace-nowrap">{block.rule}</Cell>
            <Cell>{block.step}</Cell>
            <Cell className="text-quiet">
              <Ago time={block.blocked_at} />
            </Cell>
            <Cell className="text-quiet">
              <Ago time={block.lifted_at ?? block.expires_at} />
            </Cell>
            <Actions>{inForce(block) && <Lift block={block} />}</Actions>
          </Row>
        )}
      </Table>
      <p className="text-xs text-quiet">
        Addresses are stored as hashes, so they cannot be shown. To block an address yourself, list
        it under{" "}
        <Link to="." search={(now: object) => ({ ...now, part: "networks" })} className="link">
          Networks
        </Link>.
      </p>
    </>
  );
}

function Lift({ block }: { block: Block }) {
  const lift = useMutation(queries.limits.liftBlock());
  return (
    <Confirm
      trigger="Lift"
      label={`Lift the block of ${block.identifier.slice(0, 8)}`}
      title="Lift this block?"
      action="Lift"
      plain
      mutation={lift}
      onConfirm={(close) => lift.mutate([block.id], { onSuccess: close })}
    >
      The caller is served again from the next request on, and the next block begins short.
    </Confirm>
  );
}
