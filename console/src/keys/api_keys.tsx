import type { IssuedApiKey } from "@bulwark/client";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { type Organization, useBulwarkQueries, useText } from "../blocks/provider.tsx";
import { useNames } from "../ui/names.ts";
import type { Opened } from "../ui/opened.ts";
import { actionAlone, Ago, Badge, Empty } from "../ui/parts.tsx";
import { Secret, ShownOnce } from "../ui/secret.tsx";
import { Actions, Cell, Row, Table } from "../ui/table.tsx";
import { NewKey } from "./new_key.tsx";
import { Revoke } from "./revoke.tsx";
import { Rotate } from "./rotate.tsx";
import { Scopes } from "./scopes.tsx";

/** API keys of an organization: made, rotated, revoked. Without api_key:read those of the person. */
export function ApiKeys({ organization, opened, head = actionAlone }: {
  organization: Organization;
  /** Whether the dialog for a new key is open; by default it keeps that itself. */
  opened?: Opened;
  /** Places the button that makes a key. */
  head?(action: ReactNode): ReactNode;
}) {
  const queries = useBulwarkQueries();
  const t = useText();
  const [ended, setEnded] = useState(false);
  const [issued, setIssued] = useState<IssuedApiKey | null>(null);
  const { data: me } = useQuery(queries.whoami());
  const all = useInfiniteQuery({
    ...queries.apiKeys.all(organization.id, { include_ended: ended }),
    placeholderData: (before) => before,
  });
  const keys = all.data?.pages.flat();
  const nameOf = useNames(organization.id, keys?.map(({ owner_id }) => owner_id) ?? []);
  const rotated = new Set(keys?.map(({ rotated_from }) => rotated_from));
  return (
    <>
      {head(
        organization.permissions.includes("api_key:create") && (
          <NewKey organization={organization} opened={opened} onIssued={setIssued} />
        ),
      )}
      {issued && <Issued issued={issued} onKept={() => setIssued(null)} />}
      <label className="flex items-center gap-2 text-quiet">
        <input
          type="checkbox"
          checked={ended}
          onChange={({ target }) => setEnded(target.checked)}
        />
        {t("With revoked and expired ones")}
      </label>
      <Table
        label={t("API keys")}
        columns={[
          t("Name"),
          t("Key"),
          t("State"),
          t("Scopes"),
          t("Limits"),
          t("Owner"),
          t("Last used"),
          t("Ends"),
          { hidden: t("Actions") },
        ]}
        rows={keys}
        error={all.error}
        pages={all}
        empty={
          <Empty title={t("No API key")}>
            {t("A key lets a program do what its owner may, within the scopes you choose.")}
          </Empty>
        }
      >
        {(key) => (
          <Row key={key.id} data-key={key.name}>
            <Cell className="max-w-40 truncate font-medium" title={key.name}>{key.name}</Cell>
            <Cell className="font-mono text-xs whitespace-nowrap">{key.first_characters}…</Cell>
            <Cell>
              {rotated.has(key.id) && key.status === "active"
                ? <Badge tone="warn">{t("replaced")}</Badge>
                : <State status={key.status} because={key.revoked_because} />}
            </Cell>
            <Cell className="whitespace-nowrap">
              <Scopes apiKey={key} owner={nameOf(key.owner_id)} />
            </Cell>
            <Cell
              className="max-w-32 truncate"
              title={[key.rate_limit_rule, ...key.networks ?? []].join(", ")}
            >
              {key.rate_limit_rule}
              {key.networks && (
                <span className="text-quiet">
                  , {key.networks.length === 1
                    ? key.networks[0]
                    : t("{count} networks", { count: key.networks.length })}
                </span>
              )}
            </Cell>
            <Cell className="max-w-36 truncate" title={nameOf(key.owner_id)}>
              {nameOf(key.owner_id)}
            </Cell>
            <Cell className="text-quiet">
              {key.last_used_at ? <Ago time={key.last_used_at} /> : t("never")}
            </Cell>
            <Cell className="text-quiet">
              <Ago time={key.expires_at} />
            </Cell>
            <Actions>
              {key.owner_id === me?.user.id && key.status === "active" &&
                !rotated.has(key.id) &&
                organization.permissions.includes("api_key:create") && (
                <Rotate id={key.id} name={key.name} endsAt={key.expires_at} onIssued={setIssued} />
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
  const t = useText();
  return (
    <span title={because ?? undefined}>
      <Badge tone={tones[status] ?? "quiet"}>{t(status)}</Badge>
    </span>
  );
}

function Issued({ issued, onKept }: { issued: IssuedApiKey; onKept(): void }) {
  const t = useText();
  return (
    <ShownOnce
      title={t("Keep the key {name}", { name: issued.name })}
      about={t("It is shown this once, and nobody can read it later.")}
      done={t("I have kept it")}
      onDone={onKept}
    >
      <div role="status" data-issued>
        <Secret text={issued.api_key} label={t("Copy the key")} />
      </div>
    </ShownOnce>
  );
}
