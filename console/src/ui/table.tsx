/** Dense tables: rows of 36 px, a head that stays, and the states of a list. */
import type { BulwarkError } from "@bulwark/client";
import { Children, type ReactNode, useState } from "react";
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
      <div
        role="group"
        aria-label={label}
        tabIndex={0}
        className="card relative max-h-[max(20rem,calc(100dvh-10rem))] overflow-auto"
      >
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
      </div>
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
 * The last cell of a row: its buttons, which stay at the right while the table scrolls sideways. On a
 * phone a further button shows them.
 */
export function Actions({ children }: { children: ReactNode }) {
  const t = useText();
  const [shown, setShown] = useState(false);
  const many = Children.toArray(children).length > 1;
  return (
    <Cell className="sticky right-0 bg-surface group-hover/row:bg-hover group-has-[[aria-expanded=true]]/row:bg-hover max-md:px-1">
      {many && (
        <button
          type="button"
          className="button plain ml-auto flex h-7 px-2 md:hidden"
          aria-label={t("Actions")}
          aria-expanded={shown}
          onClick={() => setShown(!shown)}
        >
          ⋯
        </button>
      )}
      <span
        className={`items-center justify-end gap-1 md:flex ${
          !many
            ? "flex"
            : shown
            ? "flex max-md:absolute max-md:inset-y-0 max-md:right-full max-md:rounded-md max-md:border max-md:border-line max-md:bg-raised max-md:px-1"
            : "hidden"
        }`}
      >
        {children}
      </span>
    </Cell>
  );
}
