/**
 * W3C Trace Context (Recommendation of 23 November 2021): which trace a request belongs to.
 */
export interface TraceContext {
  /** 32 hexadecimal digits. */
  traceId: string;
  /** The caller's span: 16 hexadecimal digits. */
  parentId: string;
  flags: string;
}

/** The trace of a `traceparent` header; null if the header is invalid. */
export function parseTraceparent(header: string | null): TraceContext | null {
  const match = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/.exec(
    header?.trim() ?? "",
  );
  const [, version = "", traceId = "", parentId = "", flags = "", more] = match ?? [];
  if (!match || version === "ff" || /^0+$/.test(traceId) || /^0+$/.test(parentId)) return null;
  // Only versions after 00 may have further fields.
  if (version === "00" && more !== undefined) return null;
  return { traceId, parentId, flags };
}

/** The trace id of a correlation id that is a UUID: the same 128 bits. Null otherwise. */
export function traceIdOf(correlationId: string): string | null {
  const digits = correlationId.toLowerCase().replaceAll("-", "");
  return /^[0-9a-f]{32}$/.test(digits) && !/^0+$/.test(digits) ? digits : null;
}

/** A trace id as the UUID that the audit log takes for a correlation id. */
export function correlationOf({ traceId }: TraceContext): string {
  return traceId.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
