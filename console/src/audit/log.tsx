import type { AuditEntry } from "@bulwark/client";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState } from "react";
import { useBulwarkQueries, useText } from "../blocks/provider.tsx";
import { Ago, Badge, Empty, Initials, Problem, Skeleton } from "../ui/parts.tsx";
import { uuid } from "../ui/uuid.ts";
import { EntryDrawer } from "./drawer.tsx";
import { type Change, type Filter, questionOf, severities, withChange } from "./filter.ts";
import { Histogram } from "./histogram.tsx";
import { Severity } from "./severity.tsx";

const rowHeight = 34;
const columns =
  "grid grid-cols-[7.5rem_1.25rem_minmax(0,1fr)] md:grid-cols-[8rem_6rem_minmax(10rem,14rem)_minmax(0,1fr)_minmax(8rem,12rem)_5rem] items-center gap-3 px-3";
const wide = "hidden md:flex";

/** The audit log of an organization: filtered, of any length, an entry in a drawer. */
export function AuditLog({ organization, filter, onFilter }: {
  organization: string;
  /** Entries to show, such as `{ severity: "warning" }`. An address can keep it. */
  filter: Filter;
  onFilter(filter: Filter): void;
}) {
  const queries = useBulwarkQueries();
  const t = useText();
  const now = useRef(filter);
  now.current = filter;
  const change = (more: Change) => onFilter(withChange(now.current, more));
  const question = questionOf(organization, filter);
  const log = useInfiniteQuery({
    ...queries.audit.entries(question),
    // Each time all pages are asked again, so somebody who scrolled far reads on undisturbed.
    refetchInterval: ({ state }) => (state.data?.pages.length ?? 0) > 3 ? false : 15_000,
    refetchOnWindowFocus: ({ state }) => (state.data?.pages.length ?? 0) <= 3,
  });
  const entries = useMemo(() => log.data?.pages.flatMap((page) => page.entries) ?? [], [log.data]);
  const actors = useMemo(
    () =>
      [...new Set(entries.map(({ actor_id }) => actor_id).filter((id) => id !== null))].sort()
        .slice(0, 1000),
    [entries],
  );
  const { data: names } = useQuery({
    ...queries.members.names(organization, actors),
    enabled: actors.length > 0,
    placeholderData: (before) => before,
  });
  const nameOf = (id: string | null) => {
    const found = names?.find(({ user_id }) => user_id === id);
    return found?.name ?? found?.email ?? null;
  };
  const listed = entries.find(({ id }) => id === filter.entry);
  // An entry of an address may be far down, or hidden by the filter.
  const asked = !listed && !log.isPending && uuid.test(filter.entry ?? "");
  const { data: alone } = useQuery({
    ...queries.audit.get(organization, filter.entry ?? ""),
    enabled: asked,
  });
  const opened = listed ?? (asked ? alone ?? null : null);
  return (
    <>
      <Filters filter={filter} onChange={change} nameOf={nameOf} />
      <Histogram organization={organization} since={filter.since} />
      <Problem error={log.error} />
      {asked && alone === null && (
        <p role="alert" className="rounded-md bg-warn-soft px-3 py-2 text-warn">
          {t("This log has no entry {entry}.", { entry: filter.entry ?? "" })}
        </p>
      )}
      <Table
        entries={entries}
        nameOf={nameOf}
        onOpen={(entry) => change({ entry })}
        state={log.isPending ? "loading" : log.error && entries.length === 0 ? "failed" : "ready"}
        hasMore={log.hasNextPage}
        onEnd={() => log.isFetchingNextPage || void log.fetchNextPage()}
      />
      <EntryDrawer
        entry={opened}
        actor={opened && nameOf(opened.actor_id)}
        onClose={() => change({ entry: undefined })}
        onFilter={(more) => change({ ...more, entry: undefined })}
      />
    </>
  );
}

function Filters({ filter, onChange, nameOf }: {
  filter: Filter;
  onChange(more: Change): void;
  nameOf(id: string | null): string | null;
}) {
  const queries = useBulwarkQueries();
  const t = useText();
  const [text, setText] = useState(filter.search ?? "");
  const { data: types } = useQuery({ ...queries.audit.types(), staleTime: 600_000 });
  const shown = useRef(onChange);
  shown.current = onChange;
  useEffect(() => {
    if (text === (filter.search ?? "")) return;
    const timer = setTimeout(() => shown.current({ search: text }), 300);
    return () => clearTimeout(timer);
  }, [text, filter.search]);
  const chips = ([["actor", t("Actor")], ["resource", t("Resource")]] as const).flatMap(
    ([name, label]) => {
      const value = filter[name];
      return value === undefined ? [] : [{ name, label, value }];
    },
  );
  return (
    <search className="flex flex-wrap items-center gap-2">
      <input
        type="search"
        aria-label={t("Search entries")}
        placeholder={t("Search actions, resources, values")}
        className="field md:w-72"
        value={text}
        onChange={({ target }) => setText(target.value)}
      />
      <select
        aria-label={t("Severity")}
        className="field w-auto flex-1 md:flex-none"
        value={filter.severity ?? ""}
        onChange={({ target }) =>
          onChange({ severity: severities.find((one) => one === target.value) })}
      >
        <option value="">{t("Any severity")}</option>
        {severities.slice(1).map((one) => (
          <option key={one} value={one}>
            {one === "critical" ? t(one) : t("{severity} and above", { severity: t(one) })}
          </option>
        ))}
      </select>
      <select
        aria-label={t("Event type")}
        className="field w-auto max-w-52 flex-1 md:flex-none"
        value={filter.type ?? ""}
        onChange={({ target }) => onChange({ type: target.value })}
      >
        <option value="">{t("Any event")}</option>
        {types?.map(({ name }) => <option key={name} value={name}>{name}</option>)}
      </select>
      <label className="flex items-center gap-2 text-quiet">
        {t("Since")}
        <input
          type="date"
          className="field w-auto text-ink"
          value={filter.since ?? ""}
          onChange={({ target }) => onChange({ since: target.value })}
        />
      </label>
      {chips.map(({ name, label, value }) => (
        <button
          key={name}
          type="button"
          className="button"
          onClick={() => onChange({ [name]: undefined })}
        >
          {label}: {name === "actor" ? nameOf(value) ?? value.slice(0, 8) : value.slice(0, 24)}
          <span aria-hidden>×</span>
          <span className="sr-only">{t("(remove filter)")}</span>
        </button>
      ))}
    </search>
  );
}

function Table({ entries, nameOf, onOpen, state, hasMore, onEnd }: {
  entries: readonly AuditEntry[];
  nameOf(id: string | null): string | null;
  onOpen(id: string): void;
  state: "loading" | "failed" | "ready";
  hasMore: boolean;
  onEnd(): void;
}) {
  const t = useText();
  const scroller = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({
    count: entries.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: 10,
  });
  const shown = rows.getVirtualItems();
  const last = shown.at(-1)?.index ?? 0;
  const end = useRef(onEnd);
  end.current = onEnd;
  useEffect(() => {
    if (hasMore && last > entries.length - 40) end.current();
  }, [hasMore, last, entries.length]);
  return (
    <div
      role="table"
      aria-label={t("Audit log")}
      aria-rowcount={hasMore ? -1 : entries.length + 1}
      className="card overflow-hidden"
    >
      <div role="rowgroup">
        <div role="row" className={`${columns} h-8 border-b border-line`}>
          <span role="columnheader" className="cell-head">{t("Time")}</span>
          <span role="columnheader" className="cell-head">
            <span className="sr-only md:not-sr-only">{t("Severity")}</span>
          </span>
          <span role="columnheader" className="cell-head">{t("Event")}</span>
          <span role="columnheader" className={`cell-head ${wide}`}>{t("Subject")}</span>
          <span role="columnheader" className={`cell-head ${wide}`}>{t("Actor")}</span>
          <span role="columnheader" className={`cell-head ${wide}`}>{t("Result")}</span>
        </div>
      </div>
      {state === "loading" && <Skeleton lines={8} />}
      {state === "failed" && (
        <Empty title={t("The entries could not be read")}>
          {t("They are tried again every 15 seconds.")}
        </Empty>
      )}
      {state === "ready" && entries.length === 0 && (
        <Empty title={t("No entry matches")}>
          {t("Everything that happens in the organization is written here.")}{" "}
          {t("Remove a filter, or look further back.")}
        </Empty>
      )}
      <div
        ref={scroller}
        role="rowgroup"
        aria-label={t("Entries")}
        tabIndex={0}
        className="max-h-[max(16rem,calc(100dvh-19rem))] overflow-auto"
        hidden={entries.length === 0}
      >
        <div role="presentation" className="relative" style={{ height: rows.getTotalSize() }}>
          {shown.map(({ index, start }) => {
            const entry = entries[index];
            return entry && (
              <div
                role="row"
                aria-rowindex={index + 2}
                key={entry.id}
                className={`${columns} absolute inset-x-0 border-b border-line hover:bg-hover`}
                style={{ height: rowHeight, transform: `translateY(${start}px)` }}
                onClick={() => onOpen(entry.id)}
              >
                <Row entry={entry} actor={nameOf(entry.actor_id)} onOpen={onOpen} />
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}

function Row({ entry, actor, onOpen }: {
  entry: AuditEntry;
  actor: string | null;
  onOpen(id: string): void;
}) {
  const t = useText();
  const { id, occurred_at, severity, event_type, resource_type, resource_id, result } = entry;
  return (
    <>
      <span role="cell" className="truncate text-quiet">
        <Ago time={occurred_at} />
      </span>
      <span role="cell">
        <Severity severity={severity} compact />
      </span>
      <span role="cell" className="truncate">
        <button
          type="button"
          data-entry={id}
          className="max-w-full truncate rounded-sm font-medium"
          onClick={(event) => {
            event.stopPropagation();
            onOpen(id);
          }}
        >
          {event_type}
        </button>
      </span>
      <span role="cell" className={`${wide} min-w-0 gap-2 text-quiet`}>
        {resource_type
          ? <span className="truncate">{resource_type}</span>
          : <span className="truncate">{entry.action}</span>}
        {resource_id && (
          <span className="max-w-24 shrink-0 truncate font-mono text-xs leading-5">
            {resource_id.length > 12 ? `${resource_id.slice(0, 8)}…` : resource_id}
          </span>
        )}
      </span>
      <span role="cell" className={`${wide} min-w-0 items-center gap-2`}>
        {actor
          ? (
            <>
              <Initials name={actor} />
              <span className="truncate">{actor}</span>
            </>
          )
          : <span className="truncate text-quiet">{entry.actor_type && t(entry.actor_type)}</span>}
      </span>
      <span role="cell" className={wide}>
        {result === "success"
          ? <span className="text-quiet">{t("success")}</span>
          : <Badge tone="bad">{t(result)}</Badge>}
      </span>
    </>
  );
}
