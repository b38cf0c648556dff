import { type Calls, first, firstOrNull } from "../calls.ts";
import { type AuditExportOptions, exportLog } from "../export.ts";
import type { FunctionAnswers } from "../generated/answers.ts";
import type { Args } from "../overlay.ts";
import type { AuditEntry } from "../shapes.ts";

/** A filter of entries of the audit log. */
export type AuditFilter = Args<"search_audit_logs">;

/** The audit log. */
export function audit<T extends boolean>({ rpc, select, invoke }: Calls<T>, throwing: Calls<true>) {
  return {
    /** A page of the entries that match a filter, newest first; `next` continues as `before`. */
    search: (filter: AuditFilter = {}) => rpc("search_audit_logs", filter),
    /**
     * All entries that match a filter, newest first, page by page. To resume, pass the id of the last
     * entry as `before`. Throws a BulwarkError.
     */
    async *entries(filter: AuditFilter = {}): AsyncGenerator<AuditEntry, void, undefined> {
      for (let { before } = filter;;) {
        const asked = { page_size: 200, ...filter, before };
        const { entries, next } = await throwing.rpc("search_audit_logs", asked);
        yield* entries;
        if (next === null) return;
        before = next;
      }
    },
    /** One entry of an organization; null if there is none that the caller may see. */
    get: (organization: string, entry: string) =>
      select(
        "audit_logs",
        (query) => query.eq("organization_id", organization).eq("id", entry),
        (rows) => firstOrNull(rows) as AuditEntry | null,
      ),
    /** Counts entries by time, and by one of their fields. */
    histogram: (asked: Args<"audit_histogram">) => rpc("audit_histogram", asked),
    /** Follows a log: the newest page, then with its `cursor` what became visible since. */
    tail: (organization: string | null, after?: string, page_size?: number) =>
      rpc("tail_audit_log", { organization_id: organization, after, page_size }),
    /** Until when a log is sealed, signed and delivered. */
    coverage: (organization: string | null) =>
      rpc("audit_coverage", { organization_id: organization }, first),
    /** The sealed log as a stream of bytes. Resumes at a cursor that `onProgress` gave. */
    export: (options: AuditExportOptions): ReadableStream<Uint8Array> =>
      exportLog(throwing, options),
    /** Reports an event, of a type open to clients, and returns the id of its entry. */
    log: (event: Args<"log_audit_event">) => rpc("log_audit_event", event),
    /** Verifies the log in the database; `next_after_seal` continues. */
    verify: (
      organization: string | null,
      range: Omit<Args<"verify_audit_log">, "organization_id"> = {},
    ) => rpc("verify_audit_log", { organization_id: organization, ...range }, first),
    /** Proves that an entry is in the log, for anybody who has the public key. */
    proof: (entry: string) => rpc("audit_inclusion_proof", { entry_id: entry }),
    /** Proves that the log of `to` seals extends that of `from` seals. */
    consistency: (from: number, to: number) =>
      rpc("audit_consistency_proof", { from_size: from, to_size: to }),
    /** The newest signed checkpoint, and the public keys. */
    checkpoint: () =>
      invoke<FunctionAnswers["bulwark-audit/checkpoint"]>("bulwark-audit/checkpoint", {
        method: "GET",
      }),
    /** The state of the log, for a super_admin. */
    status: () => rpc("audit_status", {}),
    types: () => select("audit_event_types", (query) => query.order("name")),
    /** The legal holds that the caller may see, newest first. */
    holds: () =>
      select("audit_legal_holds", (query) => query.order("placed_at", { ascending: false })),
    /** Keeps entries from retention and erasure, and returns the hold's id. */
    placeHold: (hold: Args<"place_legal_hold">) => rpc("place_legal_hold", hold),
    releaseHold: (hold: string) => rpc("release_legal_hold", { hold_id: hold }),
    /** Removes what is known of a person, one step of it; `next_after` continues as `after`. */
    erase: (subject: Args<"erase_subject">) => rpc("erase_subject", subject, first),
  };
}
