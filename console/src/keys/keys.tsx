import type { IssuedApiKey } from "@bulwark/client";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { queries } from "../connection.ts";
import { OfOrganization, type Organization } from "../organization.tsx";
import { Ago, Badge, Copy, Empty, Heading, Problem, Section } from "../ui/parts.tsx";
import { Actions, Cell, Row, Table } from "../ui/table.tsx";
import { NewKey } from "./new_key.tsx";
import { Revoke } from "./revoke.tsx";

/** Keys for programs: one's own, and with api_key:read all of the organization. */
export function Keys() {
  return (
    <OfOrganization title="API keys" permission={["api_key:create", "api_key:read"]}>
      {(organization) => <List key={organization.id} organization={organization} />}
    </OfOrganization>
  );
}

function List({ organization }: { organization: Organization }) {
  const [ended, setEnded] = useState(false);
  const [issued, setIssued] = useState<IssuedApiKey | null>(null);
  const { data: me } = useQuery(queries.whoami());
  const { data: keys, error } = useQuery({
    ...queries.apiKeys.list(organization.id, { include_ended: ended, page_size: 100 }),
    placeholderData: (before) => before,
  });
  const owners = [...new Set(keys?.map(({ owner_id }) => owner_id))].sort();
  const { data: names } = useQuery({
    ...queries.members.names(organization.id, owners),
    enabled: owners.length > 0,
  });
  const rotated = new Set(keys?.map(({ rotated_from }) => rotated_from));
  const nameOf = (id: string) => {
    const found = names?.find(({ user_id }) => user_id === id);
    return found?.name ?? found?.email ?? `${id.slice(0, 8)}…`;
  };
  return (
    <>
      <Heading
        action={organization.permissions.includes("api_key:create") && (
          <NewKey organization={organization} onIssued={setIssued} />
        )}
      >
        API keys
      </Heading>
      {issued && <Issued issued={issued} onKept={() => setIssued(null)} />}
      <label className="flex items-center gap-2 text-quiet">
        <input
          type="checkbox"
          checked={ended}
          onChange={({ target }) => setEnded(target.checked)}
        />
        With revoked and expired ones
      </label>
      <Table
        label="API keys"
        columns={[
          "Name",
          "Key",
          "State",
          "Scopes",
          "Limits",
          "Owner",
          "Last used",
          "Ends",
          { hidden: "Actions" },
        ]}
        rows={keys}
        error={error}
        empty={
          <Empty title="No API key">
            A key lets a program do what its owner may, within the scopes you choose.
          </Empty>
        }
      >
        {(key) => (
          <Row key={key.id} data-key={key.name}>
            <Cell className="font-medium whitespace-nowrap">{key.name}</Cell>
            <Cell className="font-mono text-xs whitespace-nowrap">{key.first_characters}…</Cell>
            <Cell>
              <State status={key.status} because={key.revoked_because} />
            </Cell>
            <Cell className="whitespace-nowrap" title={key.scopes.join(", ")}>
              {key.scopes.length === 1 ? key.scopes[0] : `${key.scopes.length} scopes`}
              {key.effective_scopes.length < key.scopes.length &&
                key.status === "active" && (
                <span className="text-warn">, {key.effective_scopes.length} in force</span>
              )}
            </Cell>
            <Cell className="whitespace-nowrap" title={key.networks?.join(", ")}>
              {key.rate_limit_rule}
              {key.networks && (
                <span className="text-quiet">
                  ,{" "}
                  {key.networks.length === 1 ? key.networks[0] : `${key.networks.length} networks`}
                </span>
              )}
            </Cell>
            <Cell className="max-w-48 truncate">{nameOf(key.owner_id)}</Cell>
            <Cell className="text-quiet">
              {key.last_used_at ? <Ago time={key.last_used_at} /> : "never"}
            </Cell>
            <Cell className="text-quiet">
              <Ago time={key.expires_at} />
            </Cell>
            <Actions>
              {key.owner_id === me?.user.id && key.status === "active" &&
                !rotated.has(key.id) &&
                organization.permissions.includes("api_key:create") && (
                <Rotate id={key.id} name={key.name} onIssued={setIssued} />
              )}
              {/^(active|suspended)$/.test(key.status) &&
                (key.owner_id === me?.user.id ||
                  organization.permissions.includes("api_key:revoke")) &&
                <Revoke id={key.id} name={key.name} />}
            </Actions>
          </Row>
        )}
      </Table>
    </>
  );
}

const tones: Record<string, "good" | "warn" | "quiet"> = { active: "good", suspended: "warn" };

function State({ status, because }: { status: string; because: string | null }) {
  return (
    <span title={because ?? undefined}>
      <Badge tone={tones[status] ?? "quiet"}>{status}</Badge>
    </span>
  );
}

function Rotate({ id, name, onIssued }: {
  id: string;
  name: string;
  onIssued(issued: IssuedApiKey): void;
}) {
  const rotate = useMutation(queries.apiKeys.rotate());
  return (
    <>
      <Problem error={rotate.error} />
      <button
        type="button"
        className="button plain h-7 px-2"
        aria-label={`Rotate ${name}`}
        title="Issues a successor; this key goes on for a day"
        disabled={rotate.isPending}
        onClick={() => rotate.mutate([id, { overlap: "1 day" }], { onSuccess: onIssued })}
      >
        Rotate
      </button>
    </>
  );
}

function Issued({ issued, onKept }: { issued: IssuedApiKey; onKept(): void }) {
  return (
    <Section
      title={`Keep the key ${issued.name}`}
      about="It is shown this once, and nobody can read it later."
      action={<button type="button" className="button" onClick={onKept}>I have kept it</button>}
    >
      <div role="status" className="border-t border-line px-4 py-3" data-issued>
        <Copy text={issued.api_key} label="Copy the key">{issued.api_key}</Copy>
      </div>
    </Section>
  );
}
