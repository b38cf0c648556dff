import type { EncryptionOverview } from "@bulwark/client";
import { useMutation, useQuery } from "@tanstack/react-query";
import { queries } from "../connection.ts";
import { Confirm } from "../ui/confirm.tsx";
import { count } from "../ui/count.ts";
import { Ago, Badge, Empty, Problem, Section } from "../ui/parts.tsx";
import { Actions, Cell, Row, Table } from "../ui/table.tsx";

const number = new Intl.NumberFormat();
const percent = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });
const purposes = { field: "fields", index: "search" } as const;

/** The data keys of an organization, and what is encrypted again after a rotation. */
export function Overview({ organization }: { organization: string | null }) {
  const { data, error } = useQuery({
    ...queries.encryption.overview(organization),
    refetchInterval: 15_000,
  });
  return (
    <>
      {data?.shredded_at && (
        <p role="status" className="rounded-md bg-bad-soft px-3 py-2 text-bad">
          The keys were destroyed <Ago time={data.shredded_at} />. Nobody can read the values.
        </p>
      )}
      <Table
        label="Data keys"
        columns={["Version", "For", "State", "Used", "Made", "Superseded", { hidden: "Actions" }]}
        rows={data?.keys}
        error={error}
        empty={<Empty title="No data key yet">The first encrypted value makes one.</Empty>}
      >
        {(key) => (
          <Row key={`${key.purpose} ${key.version}`} data-version={`${key.purpose} ${key.version}`}>
            <Cell className="font-medium">{key.version}</Cell>
            <Cell>{purposes[key.purpose]}</Cell>
            <Cell>
              <Badge tone={key.state === "current" ? "good" : "quiet"}>{key.state}</Badge>
            </Cell>
            <Cell
              className="whitespace-nowrap"
              title={count(key.messages, "message", "messages")}
            >
              {percent.format(key.messages / (data?.messages_per_key ?? 1))}
            </Cell>
            <Cell className="text-quiet">
              <Ago time={key.created_at} />
            </Cell>
            <Cell className="text-quiet">
              {key.superseded_at && <Ago time={key.superseded_at} />}
            </Cell>
            <Actions>
              {key.state === "current" && !data?.shredded_at && (
                <Rotate organization={organization} purpose={key.purpose} />
              )}
            </Actions>
          </Row>
        )}
      </Table>
      {data && <Columns columns={data.columns} />}
      {data && <Work overview={data} organization={organization} />}
    </>
  );
}

function Rotate({ organization, purpose }: {
  organization: string | null;
  purpose: "field" | "index";
}) {
  const rotate = useMutation(queries.encryption.rotate());
  return (
    <Confirm
      trigger="Rotate"
      label={`Rotate the key for ${purposes[purpose]}`}
      title={`Rotate the key for ${purposes[purpose]}?`}
      action="Rotate"
      plain
      mutation={rotate}
      onConfirm={(close) => rotate.mutate([organization, purpose], { onSuccess: close })}
    >
      New values get a new key at once. Older ones are encrypted again in the background, and can be
      read all the time.
    </Confirm>
  );
}

function Columns({ columns }: Pick<EncryptionOverview, "columns">) {
  if (columns.length === 0) return null;
  return (
    <Section title="Encrypted columns">
      <ul className="flex flex-wrap gap-2 border-t border-line px-4 py-3">
        {columns.map(({ table, column, blind_index }) => (
          <li key={`${table}.${column}`} className="flex items-center gap-2">
            <span className="font-mono text-xs">{table}.{column}</span>
            {blind_index && <Badge>searchable</Badge>}
          </li>
        ))}
      </ul>
    </Section>
  );
}

function Work({ overview: { reencryptions, failures }, organization }: {
  overview: EncryptionOverview;
  organization: string | null;
}) {
  const retry = useMutation(queries.encryption.retry());
  const incomplete = reencryptions.some(({ state }) => state === "incomplete");
  return (
    <Section
      title="Re-encryption"
      about={reencryptions.length === 0
        ? "Nothing waits to be encrypted under a newer key."
        : "Values under older keys, which are encrypted again in the background."}
      action={incomplete && (
        <button
          type="button"
          className="button"
          disabled={retry.isPending}
          onClick={() => retry.mutate([organization])}
        >
          Try again
        </button>
      )}
    >
      {retry.error && (
        <div className="px-4 pb-3">
          <Problem error={retry.error} />
        </div>
      )}
      {reencryptions.map(({ table_name, column_name, purpose, version, ...one }) => (
        <div
          key={`${table_name} ${column_name} ${purpose} ${version}`}
          className="grid gap-1 border-t border-line px-4 py-2"
          data-work={`${table_name}.${column_name}`}
        >
          <div className="flex flex-wrap items-center gap-x-3">
            <span className="font-mono text-xs">{table_name}.{column_name}</span>
            <Badge tone={one.state === "incomplete" ? "bad" : "warn"}>{one.state}</Badge>
            <span className="text-quiet">
              version {version}: {number.format(one.done)}
              {one.total !== null && ` of ${number.format(one.total)}`}
              {one.failed > 0 && `, ${number.format(one.failed)} failed`}
            </span>
          </div>
          {one.total !== null && one.total > 0 && (
            <progress
              aria-label={`Re-encryption of ${table_name}.${column_name}`}
              max={one.total}
              value={Math.min(one.done, one.total)}
              className="h-1.5 w-full accent-accent"
            />
          )}
        </div>
      ))}
      {failures.map(({ table, column, fault, rows, row_keys }) => (
        <p key={`${table} ${column} ${fault}`} className="border-t border-line px-4 py-2 text-bad">
          {count(rows, "row", "rows")} of {table}.{column} cannot be decrypted ({fault}):{" "}
          <span className="font-mono text-xs">{row_keys.join(", ")}</span>
        </p>
      ))}
    </Section>
  );
}
