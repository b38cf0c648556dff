import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { Severity } from "../audit/severity.tsx";
import { queries } from "../connection.ts";
import { OfOrganization, type Organization } from "../organization.tsx";
import { useNames } from "../ui/names.ts";
import { Ago, Badge, Empty, Heading, Initials } from "../ui/parts.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { type Filter, severities, statuses } from "./address.ts";
import { EventDrawer } from "./drawer.tsx";

const number = new Intl.NumberFormat();

const statusNames = {
  assigned: "Open, with an assignee",
  resolved: "Resolved",
  all: "Open and resolved",
} as const;

/** Incidents of the organization, for people to handle. */
export function Events() {
  return (
    <OfOrganization title="Security events" permission="security:read">
      {(organization) => <List key={organization.id} organization={organization} />}
    </OfOrganization>
  );
}

function List({ organization }: { organization: Organization }) {
  const filter = useSearch({ from: "/shell/o/$slug/events" });
  const navigate = useNavigate({ from: "/o/$slug/events" });
  const change = (more: { [Name in keyof Filter]?: Filter[Name] | undefined }) =>
    void navigate({
      search: (now) =>
        Object.fromEntries(
          Object.entries({ ...now, ...more }).filter(([, value]) => value),
        ) as Filter,
      replace: true,
    });
  const { assignee, severity, status } = filter;
  const list = useInfiniteQuery({
    ...queries.security.events(organization.id, {
      ...(status === "all" ? { include_resolved: true } : { state: status ?? "open" }),
      ...(severity ? { minimum_severity: severity } : {}),
      ...(assignee === "nobody" ? { unassigned: true } : assignee ? { assignee } : {}),
    }),
    refetchInterval: 15_000,
    placeholderData: (before) => before,
  });
  const events = list.data?.pages.flat();
  const nameOf = useNames(
    organization.id,
    events?.flatMap(({ user_id, assigned_to, resolved_by }) => [
      user_id,
      assigned_to,
      resolved_by,
    ]) ?? [],
    organization.permissions.includes("user:read"),
  );
  return (
    <>
      <Heading>Security events</Heading>
      <Filters filter={filter} onChange={change} nameOf={nameOf} />
      <Table
        label="Security events"
        columns={["Severity", "Event", "About", "Times", "Opened", "Seen last", "Assigned to"]}
        rows={events}
        error={list.error}
        pages={list}
        empty={
          <Empty title={Object.keys(filter).length > 0 ? "No event matches" : "No open event"}>
            Guessed passwords, keys from new networks, an altered log and the like are listed here,
            each once, until somebody resolves it.
          </Empty>
        }
      >
        {(event) => (
          <Row key={event.id} data-event={event.event_type}>
            <Cell>
              <Severity severity={event.severity} />
            </Cell>
            <Cell className="whitespace-nowrap">
              <span className="flex items-center gap-2">
                <button
                  type="button"
                  className="rounded-sm font-medium"
                  onClick={() => change({ event: event.id })}
                >
                  {wordsOf(event.event_type)}
                </button>
                {event.resolved_at && <Badge tone="good">resolved</Badge>}
              </span>
            </Cell>
            <Cell className="max-w-56 truncate text-quiet">
              {event.user_id ? nameOf(event.user_id) : event.subject}
            </Cell>
            <Cell>{number.format(event.occurrences)}</Cell>
            <Cell className="text-quiet">
              <Ago time={event.raised_at} />
            </Cell>
            <Cell className="text-quiet">
              <Ago time={event.last_seen_at} />
            </Cell>
            <Cell className="max-w-56">
              {event.assigned_to
                ? (
                  <span className="flex items-center gap-2 whitespace-nowrap">
                    <Initials name={nameOf(event.assigned_to)} />
                    <span className="truncate">{nameOf(event.assigned_to)}</span>
                  </span>
                )
                : <span className="text-quiet">nobody</span>}
            </Cell>
          </Row>
        )}
      </Table>
      <EventDrawer
        event={events?.find(({ id }) => id === filter.event) ?? null}
        organization={organization}
        nameOf={nameOf}
        onClose={() => change({ event: undefined })}
      />
    </>
  );
}

function Filters({ filter, onChange, nameOf }: {
  filter: Filter;
  onChange(more: { [Name in keyof Filter]?: Filter[Name] | undefined }): void;
  nameOf(id: string): string;
}) {
  const { data: me } = useQuery(queries.whoami());
  const { assignee } = filter;
  const mine = me?.user.id;
  return (
    <search className="flex flex-wrap items-center gap-2">
      <select
        aria-label="Status"
        className="field w-auto flex-1 md:flex-none"
        value={filter.status ?? ""}
        onChange={({ target }) =>
          onChange({ status: statuses.find((one) => one === target.value) })}
      >
        <option value="">Open</option>
        {statuses.map((one) => <option key={one} value={one}>{statusNames[one]}</option>)}
      </select>
      <select
        aria-label="Severity"
        className="field w-auto flex-1 md:flex-none"
        value={filter.severity ?? ""}
        onChange={({ target }) =>
          onChange({ severity: severities.find((one) => one === target.value) })}
      >
        <option value="">Any severity</option>
        {severities.slice(1).map((one) => (
          <option key={one} value={one}>{one === "critical" ? one : `${one} and above`}</option>
        ))}
      </select>
      <select
        aria-label="Assignee"
        className="field w-auto max-w-56 flex-1 md:flex-none"
        value={assignee ?? ""}
        onChange={({ target }) => onChange({ assignee: target.value })}
      >
        <option value="">Anybody's</option>
        <option value="nobody">Nobody's</option>
        {mine && <option value={mine}>Mine</option>}
        {assignee && assignee !== "nobody" && assignee !== mine && (
          <option value={assignee}>{nameOf(assignee)}</option>
        )}
      </select>
    </search>
  );
}

/** "brute_force" as "Brute force". */
export function wordsOf(type: string): string {
  const words = type.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
