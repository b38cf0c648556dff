/** Lists page by page. The cursor of a page is taken from its last row. */

/**
 * The number of rows of a page. The database gives 1 to 1,000 whatever is asked. A list that ends with
 * a page that is not full has to ask for a number that it can get.
 */
export function pageSize(asked: number | null | undefined, otherwise = 100): number {
  return Math.min(Math.max(asked ?? otherwise, 1), 1000);
}

/** The cursor of the next page; undefined after the last one. */
export function nextCursor<Row, Cursor>(
  page: readonly Row[],
  page_size: number,
  cursorOf: (last: Row) => Cursor,
): Cursor | undefined {
  const last = page.at(-1);
  return last === undefined || page.length < page_size ? undefined : cursorOf(last);
}

/**
 * All rows of a list, from a cursor on. It ends with an empty page: any other may be short because the
 * project limits the rows of an answer (`max_rows`).
 */
export async function* rowsOf<Row, Cursor>(
  start: Cursor | undefined,
  read: (cursor: Cursor | undefined) => Promise<readonly Row[]>,
  cursorOf: (last: Row) => Cursor,
): AsyncGenerator<Row, void, undefined> {
  for (let cursor = start;;) {
    const page = await read(cursor);
    const last = page.at(-1);
    if (last === undefined) return;
    yield* page;
    cursor = cursorOf(last);
  }
}
