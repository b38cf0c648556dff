/** Lists page by page. The cursor of a page is taken from its last row. */

/**
 * The number of rows of a page. The database gives 1 to 1,000 whatever is asked. A list ends with a
 * page that is not full, so it has to ask for a number that it can get.
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

/** All rows of a list, from a cursor on. */
export async function* rowsOf<Row, Cursor>(
  start: Cursor | undefined,
  page_size: number,
  read: (cursor: Cursor | undefined) => Promise<readonly Row[]>,
  cursorOf: (last: Row) => Cursor,
): AsyncGenerator<Row, void, undefined> {
  let cursor = start;
  do {
    const page = await read(cursor);
    yield* page;
    cursor = nextCursor(page, page_size, cursorOf);
  } while (cursor !== undefined);
}
