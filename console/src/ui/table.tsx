/** Dense tables: rows of 36 px, a head that stays, and the states of a list. */
import type { BulwarkError } from "@bulwark/client";
import { Children, type ReactNode, useEffect, useLayoutEffect, useRef, useState } from "react";
import { useText } from "../blocks/provider.tsx";
import { Problem, Skeleton } from "./parts.tsx";

/** The head of a column; one without a visible name says what it has to screen readers. */
type Column = string | { hidden: string };

/** Further pages, as an infinite query has them. */
interface Pages {
  hasNextPage: boolean;
  isFetchingNextPage: boolean;
  fetchNextPage(): unknown;
}

/**
 * A list as a table, with its loading, empty and error states. `rows` is undefined while unknown.
 * Its children make a `Row` of each of them.
 */
export function Table<Item>({ label, columns, rows, error, empty, pages, children }: {
  label: string;
  columns: readonly Column[];
  rows: readonly Item[] | undefined;
  error?: BulwarkError | null;
  /** An `Empty` that says what would be here and how to get it. */
  empty: ReactNode;
  pages?: Pages;
  children(item: Item): ReactNode;
}) {
  const t = useText();
  if (!rows) {
    return error ? <Problem error={error} /> : (
      <div className="card">
        <Skeleton />
      </div>
    );
  }
  return (
    <>
      <Problem error={error} />
      <Scroller label={label}>
        {rows.length === 0
          ? empty
          : (
            <table className="w-full border-separate border-spacing-0 text-left">
              <thead>
                <tr className="h-8">
                  {columns.map((column) => (
                    <th
                      key={typeof column === "string" ? column : column.hidden}
                      scope="col"
                      className={`cell-head sticky top-0 border-b border-line bg-surface px-3 whitespace-nowrap ${
                        typeof column === "string" ? "z-[1]" : "right-0 z-[2]"
                      }`}
                    >
                      {typeof column === "string"
                        ? column
                        : <span className="sr-only">{column.hidden}</span>}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>{rows.map(children)}</tbody>
            </table>
          )}
      </Scroller>
      {pages?.hasNextPage && (
        <button
          type="button"
          className="button justify-self-start"
          disabled={pages.isFetchingNextPage}
          onClick={() => void pages.fetchNextPage()}
        >
          {t("Show more")}
        </button>
      )}
    </>
  );
}

/** Scrolls a table. While it is too wide for its place, the buttons of each row fold into one. */
function Scroller({ label, children }: { label: string; children: ReactNode }) {
  const place = useRef<HTMLDivElement>(null);
  const fold = () => {
    const element = place.current;
    if (!element) return;
    element.removeAttribute("data-folded");
    element.toggleAttribute("data-folded", element.scrollWidth > element.clientWidth);
  };
  // Each time, because other rows are wider or narrower.
  useLayoutEffect(fold);
  useEffect(() => {
    if (!place.current) return;
    // In a frame of its own, because folding may change the height.
    const observer = new ResizeObserver(() => requestAnimationFrame(fold));
    observer.observe(place.current);
    return () => observer.disconnect();
  }, []);
  return (
    <div
      ref={place}
      role="group"
      aria-label={label}
      tabIndex={0}
      className="group/table card relative max-h-[max(20rem,calc(100dvh-10rem))] overflow-auto"
    >
      {children}
    </div>
  );
}

/** A row of a table; attributes such as `data-key` go to its element. */
export function Row({ className = "", ...row }: React.ComponentProps<"tr">) {
  // The row whose actions are open stays marked, because a finger does not hover.
  const marked = "hover:bg-hover has-[[aria-expanded=true]]:bg-hover";
  return <tr {...row} className={`group/row h-9 ${marked} ${className}`} />;
}

/** A cell of a row. */
export function Cell({ className = "", ...cell }: React.ComponentProps<"td">) {
  return (
    <td {...cell} className={`border-b border-line px-3 group-last/row:border-0 ${className}`} />
  );
}

/**
 * The last cell of a row: its buttons, which stay at the right while the table scrolls sideways. In a
 * folded table a further button shows them.
 */
export function Actions({ children }: { children: ReactNode }) {
  const t = useText();
  const [shown, setShown] = useState(false);
  const many = Children.toArray(children).length > 1;
  return (
    <Cell className="sticky right-0 bg-surface group-hover/row:bg-hover group-has-[[aria-expanded=true]]/row:bg-hover group-data-folded/table:px-1">
      {many && (
        <button
          type="button"
          className="button plain ml-auto hidden h-7 px-2 group-data-folded/table:flex"
          aria-label={t("Actions")}
          aria-expanded={shown}
          onClick={() => setShown(!shown)}
        >
          ⋯
        </button>
      )}
      <span
        className={`flex items-center justify-end gap-1 ${
          !many
            ? ""
            : shown
            ? "group-data-folded/table:absolute group-data-folded/table:inset-y-0 group-data-folded/table:right-full group-data-folded/table:rounded-md group-data-folded/table:border group-data-folded/table:border-line group-data-folded/table:bg-raised group-data-folded/table:px-1"
            : "group-data-folded/table:hidden"
        }`}
      >
        {children}
      </span>
    </Cell>
  );
}
