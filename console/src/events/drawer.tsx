import type { Rows } from "@bulwark/client";
import { useMutation, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type ReactNode, useId } from "react";
import { Severity } from "../audit/severity.tsx";
import { queries } from "../connection.ts";
import { useRoles } from "../members/roles.ts";
import type { Organization } from "../organization.tsx";
import { Drawer, DrawerHead, exactly, Json } from "../ui/drawer.tsx";
import { Fact, Facts } from "../ui/facts.tsx";
import { FormDialog } from "../ui/form_dialog.tsx";
import { Ago, Badge, Copy, Id, Problem } from "../ui/parts.tsx";
import { wordsOf } from "./events.tsx";

type SecurityEvent = Rows["security_events"];

/** One event: its facts, who handles it, and how it ended. */
export function EventDrawer({ event, organization, nameOf, onClose }: {
  event: SecurityEvent | null;
  organization: Organization;
  nameOf(id: string): string;
  onClose(): void;
}) {
  return (
    <Drawer item={event} onClose={onClose}>
      {(shown) => (
        <Content event={shown} organization={organization} nameOf={nameOf} onResolved={onClose} />
      )}
    </Drawer>
  );
}

function Content({ event, organization, nameOf, onResolved }: {
  event: SecurityEvent;
  organization: Organization;
  nameOf(id: string): string;
  onResolved(): void;
}) {
  const { data: types } = useQuery({ ...queries.security.types(), staleTime: 600_000 });
  const about = types?.find(({ name }) => name === event.event_type)?.description;
  const { permissions } = organization;
  const handles = permissions.includes("security:resolve") && event.resolved_at === null;
  const details = event.details as Record<string, unknown>;
  return (
    <>
      <DrawerHead title={wordsOf(event.event_type)}>
        {about}
      </DrawerHead>
      <Facts>
        <Fact name="Severity">
          <Severity severity={event.severity} />
        </Fact>
        <Fact name="Status">
          {event.resolved_at
            ? <Badge tone="good">resolved</Badge>
            : <Badge tone="warn">open</Badge>}
        </Fact>
        <Fact name="Opened">{exactly(event.raised_at)}</Fact>
        {event.occurrences > 1 && (
          <Fact name="Seen">
            {event.occurrences.toLocaleString()} times, last <Ago time={event.last_seen_at} />
          </Fact>
        )}
        {event.user_id && (
          <Fact name="Account">
            <span className="flex flex-wrap items-center gap-2">
              {nameOf(event.user_id)} <Id id={event.user_id} />
              <Entries organization={organization} search={{ actor: event.user_id }}>
                Its entries in the audit log
              </Entries>
            </span>
          </Fact>
        )}
        {event.subject && <Fact name="Subject">{event.subject}</Fact>}
        <Fact name="Event">
          <span className="flex flex-wrap items-center gap-2">
            <Copy text={event.id} label="Copy the id of the event">{event.id}</Copy>
            <Entries organization={organization} search={{ resource: event.id }}>
              Its history
            </Entries>
          </span>
        </Fact>
        <Fact name="Assigned to">
          {handles
            ? <Assign key={event.id} event={event} organization={organization} nameOf={nameOf} />
            : event.assigned_to
            ? nameOf(event.assigned_to)
            : "nobody"}
        </Fact>
        {event.resolved_at && (
          <>
            <Fact name="Resolved">
              {event.resolved_by ? `by ${nameOf(event.resolved_by)}` : "by the operator"},{" "}
              <Ago time={event.resolved_at} />
            </Fact>
            <Fact name="Note">
              <span className="whitespace-pre-wrap">{event.resolution_note}</span>
            </Fact>
          </>
        )}
      </Facts>
      {Object.keys(details).length > 0 && <Json title="Details" value={details} />}
      {handles && <Resolve event={event} onResolved={onResolved} />}
    </>
  );
}

/** A link into the audit log, for those who may read it. */
function Entries({ organization, search, children }: {
  organization: Organization;
  search: { actor?: string; resource?: string };
  children: ReactNode;
}) {
  if (!organization.permissions.includes("audit:read")) return null;
  return (
    <Link
      to="/o/$slug/audit"
      params={{ slug: organization.slug }}
      search={search}
      className="link"
    >
      {children}
    </Link>
  );
}

/** Gives the event to one of those who may read it. */
function Assign({ event, organization, nameOf }: {
  event: SecurityEvent;
  organization: Organization;
  nameOf(id: string): string;
}) {
  const id = useId();
  const { data: me } = useQuery(queries.whoami());
  const assign = useMutation(queries.security.assign());
  const { roles } = useRoles(organization);
  const { data: members } = useQuery({
    ...queries.members.list(organization.id, { page_size: 1000 }),
    enabled: organization.permissions.includes("user:read"),
    staleTime: 60_000,
  });
  const reading = new Set(
    roles?.filter(({ own, inherited }) =>
      own.has("security:read") || inherited.has("security:read")
    )
      .map(({ role }) => role.name),
  );
  const mine = me?.user.id ?? null;
  const readers = members?.filter((member) =>
    member.user_id !== mine &&
    member.roles.some(({ role, active }) => active && reading.has(role))
  ) ?? [];
  const { assigned_to } = event;
  const listed = assigned_to === null || assigned_to === mine ||
    readers.some(({ user_id }) => user_id === assigned_to);
  return (
    <span className="grid gap-2">
      <label htmlFor={id} className="sr-only">Assigned to</label>
      <select
        id={id}
        className="field max-w-64"
        value={assigned_to ?? ""}
        disabled={assign.isPending}
        onChange={({ target }) => assign.mutate([event.id, target.value || null])}
      >
        <option value="">Nobody</option>
        {mine && <option value={mine}>Me</option>}
        {!listed && <option value={assigned_to}>{nameOf(assigned_to)}</option>}
        {readers.map(({ user_id, name, email }) => (
          <option key={user_id} value={user_id}>{name ?? email ?? user_id}</option>
        ))}
      </select>
      <Problem error={assign.error} />
    </span>
  );
}

/** Closes the event with a note. */
function Resolve({ event: { id, event_type }, onResolved }: {
  event: SecurityEvent;
  onResolved(): void;
}) {
  const resolve = useMutation(queries.security.resolve());
  return (
    <div className="justify-self-start">
      <FormDialog
        trigger="Resolve"
        look="primary"
        title={`Resolve ${wordsOf(event_type).toLowerCase()}`}
        about="A resolved event stays so. If it happens again, a new one opens."
        action="Resolve"
        mutation={resolve}
        onSubmit={(form, close) =>
          resolve.mutate([id, String(form.get("note")).trim()], {
            onSuccess: () => {
              close();
              onResolved();
            },
          })}
      >
        <label className="grid gap-1 font-medium">
          Note
          <textarea
            name="note"
            required
            maxLength={2000}
            rows={4}
            placeholder="The cause, and the measures taken"
            className="field h-auto py-2 font-normal"
          />
        </label>
      </FormDialog>
    </div>
  );
}
