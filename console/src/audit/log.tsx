import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useMemo, useRef } from "react";
import { useBulwarkQueries, useText } from "../blocks/provider.tsx";
import { Problem } from "../ui/parts.tsx";
import { uuid } from "../ui/uuid.ts";
import { type Change, type Filter, withChange } from "./filter.ts";
import { Filters } from "./filters.tsx";
import { Histogram } from "./histogram.tsx";
import { useNamesOf } from "./names.ts";
import { questionOf } from "./question.ts";
import { Table } from "./table.tsx";

const EntryDrawer = lazy(() => import("./drawer.tsx"));

/** The audit log of an organization: filtered, of any length, an entry in a drawer. */
export function AuditLog({ organization, filter, onFilter }: {
  organization: string;
  /** Which entries, such as `{ severity: "warning" }`. An address can keep it. */
  filter: Filter;
  onFilter(filter: Filter): void;
}) {
  const queries = useBulwarkQueries();
  const t = useText();
  const now = useRef(filter);
  now.current = filter;
  const change = (more: Change) => onFilter(withChange(now.current, more));
  const { data: catalogue } = useQuery({ ...queries.audit.types(), staleTime: 600_000 });
  const types = useMemo(() => catalogue?.map(({ name }) => name), [catalogue]);
  const question = questionOf(organization, filter, types);
  // A group of events is not known before the types are.
  const enabled = filter.group === undefined || types !== undefined;
  const log = useInfiniteQuery({
    ...queries.audit.entries({ ...question, page_size: 100 }),
    enabled,
    // Each time all pages are asked again, so somebody who scrolled far reads on undisturbed.
    refetchInterval: ({ state }) => (state.data?.pages.length ?? 0) > 3 ? false : 15_000,
    refetchOnWindowFocus: ({ state }) => (state.data?.pages.length ?? 0) <= 3,
  });
  const entries = useMemo(() => log.data?.pages.flatMap((page) => page.entries) ?? [], [log.data]);
  const listed = entries.find(({ id }) => id === filter.entry);
  // An entry of an address may be far down, or hidden by the filter.
  const asked = !listed && !log.isPending && uuid.test(filter.entry ?? "");
  const { data: alone } = useQuery({
    ...queries.audit.get(organization, filter.entry ?? ""),
    enabled: asked,
  });
  const opened = listed ?? (asked ? alone ?? null : null);
  // Loaded with the first entry that is opened. It stays to close in its own time.
  const needsDrawer = useRef(false);
  needsDrawer.current ||= opened !== null;
  const named = useMemo(() => alone ? [alone, ...entries] : entries, [alone, entries]);
  const nameOf = useNamesOf(organization, named, filter.actor);
  return (
    <>
      <Filters
        organization={organization}
        filter={filter}
        types={types}
        nameOf={nameOf}
        onChange={change}
      />
      <Histogram question={question} enabled={enabled} />
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
      {needsDrawer.current && (
        <Suspense fallback={null}>
          <EntryDrawer
            entry={opened}
            nameOf={nameOf}
            onClose={() => change({ entry: undefined })}
            onFilter={(more) => change({ ...more, entry: undefined })}
          />
        </Suspense>
      )}
    </>
  );
}
