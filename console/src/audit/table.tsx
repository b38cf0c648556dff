import type { AuditEntry } from "@bulwark/client";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef } from "react";
import { useText } from "../blocks/provider.tsx";
import { Ago, Badge, Empty, Initials, Skeleton } from "../ui/parts.tsx";
import { type NameOf, subjectOf } from "./names.ts";
import { Severity } from "./severity.tsx";

const rowHeight = 34;
const columns =
  "grid grid-cols-[7.5rem_1.25rem_minmax(0,1fr)] md:grid-cols-[8rem_6rem_minmax(10rem,14rem)_minmax(0,1fr)_minmax(8rem,12rem)_5rem] items-center gap-3 px-3";
const wide = "hidden md:flex";

/** Entries in rows, of which only those in view are in the document. */
export function Table({ entries, nameOf, onOpen, state, hasMore, onEnd }: {
  entries: readonly AuditEntry[];
  nameOf: NameOf;
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
                <Row entry={entry} nameOf={nameOf} onOpen={onOpen} />
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}

function Row({ entry, nameOf, onOpen }: {
  entry: AuditEntry;
  nameOf: NameOf;
  onOpen(id: string): void;
}) {
  const t = useText();
  const { id, occurred_at, severity, event_type, resource_type, resource_id, result } = entry;
  const actor = nameOf(entry.actor_id);
  const subject = subjectOf(entry, nameOf);
  return (
    <>
      <span role="cell" className="truncate text-quiet">
        <Ago time={occurred_at} />
      </span>
      <span role="cell">
        <Severity severity={severity} compact />
      </span>
      <span role="cell" className="flex min-w-0 gap-1.5 md:block md:truncate">
        <button
          type="button"
          data-entry={id}
          className="max-w-full shrink-0 truncate rounded-sm font-medium"
          onClick={(event) => {
            event.stopPropagation();
            onOpen(id);
          }}
        >
          {event_type}
        </button>
        {actor && <span className="truncate text-quiet md:hidden">· {actor}</span>}
      </span>
      <span
        role="cell"
        // Beside a subject the type is hidden unless it fits.
        className={`${wide} min-w-0 gap-x-2 text-quiet ${
          subject ? "h-5 flex-wrap overflow-hidden" : ""
        }`}
      >
        {subject && <span className="max-w-full truncate text-ink" title={subject}>{subject}</span>}
        <span className="min-w-0 truncate">
          {resource_type ?? entry.action}
        </span>
        {resource_id && !subject && (
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
