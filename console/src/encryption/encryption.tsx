import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { queries } from "../connection.ts";
import { OfProject } from "../project.tsx";
import { Badge, Copy, Empty, Heading } from "../ui/parts.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { Overview } from "./overview.tsx";

/** The keys that wrap data keys, and the data keys of the project or of an organization. */
export function Encryption() {
  return (
    <OfProject title="Encryption" permission="encryption:rotate">
      {() => <Keys />}
    </OfProject>
  );
}

function Keys() {
  const { organization } = useSearch({ from: "/shell/project/encryption" });
  const navigate = useNavigate({ from: "/project/encryption" });
  const { data: organizations } = useQuery(queries.organizations.list());
  return (
    <>
      <Heading>Encryption</Heading>
      <WrappingKeys />
      <div className="flex flex-wrap items-center gap-3">
        <h2 className="flex-1 text-base font-semibold">Data keys</h2>
        <select
          aria-label="Whose data keys"
          className="field w-auto"
          value={organization ?? ""}
          onChange={({ target }) =>
            navigate({
              search: target.value ? { organization: target.value } : {},
              replace: true,
            })}
        >
          <option value="">The project itself</option>
          {organizations?.map(({ id, name }) => <option key={id} value={id}>{name}</option>)}
        </select>
      </div>
      <Overview key={organization ?? ""} organization={organization ?? null} />
    </>
  );
}

function WrappingKeys() {
  const { data: keys, error } = useQuery(queries.encryption.keys());
  return (
    <>
      <div>
        <h2 className="text-base font-semibold">Key-encryption keys</h2>
        <p className="text-quiet">
          They wrap the data keys, and lie in the secrets of the functions, never in the database.
        </p>
      </div>
      <Table
        label="Key-encryption keys"
        columns={["Key", "State", "Data keys", "Made from"]}
        rows={keys}
        error={error}
        empty={
          <Empty title="No key yet">The first encryption registers the key of the functions.</Empty>
        }
      >
        {({ id, is_current, data_keys, derivation }) => (
          <Row key={id} data-kek={id}>
            <Cell className="whitespace-nowrap">
              <Copy text={id} label="Copy the id">{id}</Copy>
            </Cell>
            <Cell>
              {is_current
                ? <Badge tone="good">current</Badge>
                : data_keys === 0
                ? <Badge>may be removed</Badge>
                // No key is chosen until the first `npm run rotate-keys`.
                : keys?.some((key) => key.is_current)
                ? <Badge tone="warn">still needed</Badge>
                : <Badge tone="good">in use</Badge>}
            </Cell>
            <Cell>{new Intl.NumberFormat().format(data_keys)}</Cell>
            <Cell className="whitespace-nowrap text-quiet">{derivation}</Cell>
          </Row>
        )}
      </Table>
    </>
  );
}
