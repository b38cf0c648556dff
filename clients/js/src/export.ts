import { type Calls, first } from "./calls.ts";
import { BulwarkError } from "./error.ts";
import { hasReached, type Period, sizeOf, type Span } from "./period.ts";

/** How far an export is. */
export interface AuditExportProgress {
  /** The entries so far, in this call. */
  entries: number;
  /** Resumes an export after what has arrived. */
  cursor: string | null;
  /** Whether everything that is sealed has arrived. */
  done: boolean;
}

/** The log to export, its format, and where to begin. */
export interface AuditExportOptions {
  /** The organization; null: the entries without one, for a super_admin. */
  organization: string | null;
  /** `ndjson` can be verified offline. */
  format?: "ndjson" | "csv" | "ocsf" | undefined;
  /** The cursor of an export that ended early, or of an earlier one, to follow the log. */
  cursor?: string | null | undefined;
  /**
   * Only what proves a period, from and before a time: its entries and one on each side of it. Not
   * together with a cursor.
   */
  period?: Period | undefined;
  /** Entries of one request, at most 2,000. */
  page_size?: number | undefined;
  /** Recorded with the export, such as "verification"; up to 100 characters. */
  purpose?: string | undefined;
  onProgress?: ((progress: AuditExportProgress) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** The longest wait for a rate limit, in seconds. */
const longestWait = 300;

/**
 * The sealed log, request by request as the reader takes it. A rate limit is waited for. If a request
 * fails, the stream fails with its BulwarkError, and the last cursor resumes it.
 */
export function exportLog(
  calls: Calls<true>,
  options: AuditExportOptions,
): ReadableStream<Uint8Array> {
  const { organization, format = "ndjson", cursor = null, period, onProgress, signal } = options;
  const { page_size = 1000, purpose } = options;
  const encoder = new TextEncoder();
  const progress = { entries: 0, cursor, done: false };
  let isFirst = true;
  let span: Span | null = null;
  const query = () => ({
    format,
    organization_id: organization,
    cursor: progress.cursor,
    limit: span ? sizeOf(span, progress.entries, page_size) : page_size,
    purpose,
  });
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (period && !span) {
        const asked = { organization_id: organization, since: period.since, until: period.until };
        span = await calls.rpc("audit_period", asked, first);
        progress.cursor = span.after;
      }
      const reply = await patiently(
        () => calls.reply("bulwark-audit/export", { method: "GET", query: query(), signal }),
        signal,
      );
      const text = String(reply.data);
      const part = format === "ndjson" ? bundleOf(text) : listOf(text, format, reply.headers);
      progress.entries += part.entries;
      progress.cursor = part.next ?? part.cursor ?? progress.cursor;
      progress.done = part.next === null || hasReached(progress.cursor, span);
      // A later part of a CSV file needs no header.
      const body = format === "csv" && !isFirst ? text.slice(text.indexOf("\n") + 1) : text;
      isFirst = false;
      controller.enqueue(encoder.encode(body));
      onProgress?.({ ...progress });
      if (progress.done) controller.close();
    },
  }, { highWaterMark: 0 });
}

interface Part {
  entries: number;
  /** Requests the next part; null at the end. */
  next: string | null;
  cursor: string | null;
}

/** The end of a bundle is its last line but one, before the signed statement. */
function bundleOf(text: string): Part {
  const end = text.trimEnd().split("\n").at(-2) ?? "";
  if (!end.startsWith('{"type":"end"') || !text.endsWith("\n")) throw brokenOff();
  return JSON.parse(end) as Part;
}

/** The other formats have no end, so the headers have the cursor. */
function listOf(text: string, format: "csv" | "ocsf", headers: Headers | undefined): Part {
  const next = headers?.get("x-next-cursor");
  if (next === null || next === undefined) throw brokenOff();
  // Line breaks within quotes belong to a cell.
  const lines = (format === "csv" ? text.replace(/"[^"]*"/g, "") : text).split("\n").length - 1;
  const cursor = format === "csv"
    ? /([\d:]+)\r?\n$/.exec(text)?.[1]
    : /"cursor":"([\d:]+)"[^\n]*\n$/.exec(text)?.[1];
  const entries = format === "csv" ? lines - 1 : lines;
  return { entries, next: next === "" ? null : next, cursor: cursor ?? null };
}

function brokenOff(): BulwarkError {
  return new BulwarkError({
    code: "CLIENT_NETWORK",
    message: "Cannot export the audit log: the answer broke off, or its headers cannot be read",
    status: 0,
  });
}

/** Repeats a call that a rate limit refuses, after the time that it names. */
async function patiently<Data>(
  call: () => Promise<Data>,
  signal: AbortSignal | undefined,
): Promise<Data> {
  for (;;) {
    try {
      return await call();
    } catch (thrown) {
      const wait = thrown instanceof BulwarkError && thrown.code === "RATE_LIMIT_EXCEEDED"
        ? thrown.retryAfter
        : undefined;
      if (!wait || wait > longestWait || signal?.aborted) throw thrown;
      await pause(wait * 1000, signal);
    }
  }
}

function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}
