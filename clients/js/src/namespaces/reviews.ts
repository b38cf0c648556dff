import type { Calls } from "../calls.ts";
import type { Args } from "../overlay.ts";

/** Which of what a review is about. */
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
    /** A page of what a review is about, by `id`. */
    items: (review: string, filter: ReviewFilter = {}) =>
      rpc("list_access_review", { review_id: review, ...filter }),
    /** All of it, page by page. Throws a BulwarkError. */
    async *all(review: string, filter: ReviewFilter = {}) {
      const page_size = filter.page_size ?? 100;
      for (let { after } = filter;;) {
        const asked = { review_id: review, ...filter, page_size, after };
        const page = await throwing.rpc("list_access_review", asked);
        yield* page;
        if (page.length < page_size) return;
        after = page.at(-1)?.id;
      }
    },
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
