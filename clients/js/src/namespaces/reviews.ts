import type { Calls } from "../calls.ts";
import type { Args } from "../overlay.ts";
import { rowsOf } from "../pages.ts";

/** A filter of the accesses in a review. */
export type ReviewFilter = Omit<Args<"list_access_review">, "review_id">;

/** Access reviews. */
export function reviews<T extends boolean>({ rpc, select }: Calls<T>, throwing: Calls<true>) {
  return {
    /** The reviews of an organization, newest first. */
    list: (organization: string) =>
      select(
        "access_reviews",
        (query) =>
          query.eq("organization_id", organization).order("started_at", {
            ascending: false,
          }),
      ),
    /** Starts a review of every member and every key in force. */
    start: (review: Args<"start_access_review">) => rpc("start_access_review", review),
    /** A page of the accesses in a review; `id` of the last one continues as `after`. */
    items: (review: string, filter: ReviewFilter = {}) =>
      rpc("list_access_review", { review_id: review, ...filter }),
    /** All accesses in a review, page by page. Throws a BulwarkError. */
    all: (review: string, filter: ReviewFilter = {}) =>
      rowsOf(
        filter.after,
        (after) =>
          throwing.rpc("list_access_review", {
            review_id: review,
            page_size: 100,
            ...filter,
            after,
          }),
        ({ id }) => id,
      ),
    /** Keeps an access as it was listed, by its `version`. */
    keep: (item: string, version: string, note?: string) =>
      rpc("decide_access", { item_id: item, decision: "keep", version, note }),
    /** Ends an access: removes the member, or revokes the key. */
    end: (item: string, note?: string) =>
      rpc("decide_access", { item_id: item, decision: "end", note }),
    /** Closes a review for good. */
    close: (review: string) => rpc("close_access_review", { review_id: review }),
  };
}
