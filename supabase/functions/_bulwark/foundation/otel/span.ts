import { parseTraceparent, traceIdOf } from "../trace.ts";
import type { Sampler } from "./env.ts";

/** Kinds of OTLP: an answered request, and one that was made. */
export const spanKind = { server: 2, client: 3 } as const;

export type AttributeValue = string | number;

/** A span that ended, ready for the exporter. */
export interface EndedSpan {
  traceId: string;
  spanId: string;
  parentId: string | null;
  flags: number;
  name: string;
  kind: 2 | 3;
  /** Milliseconds since 1970. */
  start: number;
  end: number;
  attributes: Record<string, AttributeValue>;
  failed: boolean;
}

/** A unit of work within a trace (W3C Trace Context). A span that is not sampled only passes it on. */
export class Span {
  readonly spanId = hex(8);
  readonly #start = performance.timeOrigin + performance.now();
  #ended = false;

  constructor(
    readonly traceId: string,
    readonly sampled: boolean,
    private readonly of: { parentId: string | null; name: string; kind: 2 | 3 },
    private readonly attributes: Record<string, AttributeValue>,
    private readonly export_: (span: EndedSpan) => void,
  ) {}

  get name(): string {
    return this.of.name;
  }

  /** The header that makes a request a child of this span. */
  get traceparent(): string {
    return `00-${this.traceId}-${this.spanId}-${this.sampled ? "01" : "00"}`;
  }

  /** A request that is made within this one. */
  child(name: string, attributes: Record<string, AttributeValue>): Span {
    const of = { parentId: this.spanId, name, kind: spanKind.client };
    return new Span(this.traceId, this.sampled, of, attributes, this.export_);
  }

  /** Ends the span, with another name if one is given; a second call does nothing. */
  end(attributes: Record<string, AttributeValue>, failed: boolean, name = this.name): void {
    if (this.#ended) return;
    this.#ended = true;
    if (!this.sampled) return;
    this.export_({
      traceId: this.traceId,
      spanId: this.spanId,
      flags: 1,
      ...this.of,
      name,
      start: this.#start,
      end: performance.timeOrigin + performance.now(),
      attributes: { ...this.attributes, ...attributes },
      failed,
    });
  }
}

/**
 * The span of a request. It continues the trace of a `traceparent`; else the correlation id, if it is a
 * UUID, is the trace id, so that the trace of an audit entry can be found.
 */
export function requestSpan(
  request: Request,
  correlationId: string,
  sampler: Sampler,
  export_: (span: EndedSpan) => void,
): Span {
  const parent = parseTraceparent(request.headers.get("traceparent"));
  const traceId = parent?.traceId ?? traceIdOf(correlationId) ?? hex(16);
  const sampled = parent && sampler.followsParent
    ? (parseInt(parent.flags, 16) & 1) === 1
    : isChosen(traceId, sampler.ratio);
  const method = /^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)$/.test(request.method)
    ? request.method
    : "_OTHER";
  const route = routeOf(request.url);
  const of = {
    parentId: parent?.parentId ?? null,
    name: `${method} ${route}`,
    kind: spanKind.server,
  };
  const name = route.split("/")[1] || "unknown";
  const attributes = { "http.request.method": method, "http.route": route, "faas.name": name };
  return new Span(traceId, sampled, of, attributes, export_);
}

/** The path without ids, names and the query: what the client chose is no attribute. */
function routeOf(url: string): string {
  const path = URL.parse(url)?.pathname ?? "/";
  const segments = path.split("/").slice(1, 5);
  return `/${
    segments.map((segment) => /^[a-z][a-z-]{0,31}$/.test(segment) ? segment : "*").join("/")
  }`;
}

/** Whether a trace is among this share: by its id, so that every service chooses the same ones. */
function isChosen(traceId: string, ratio: number): boolean {
  // The last 56 bits are random (W3C Trace Context, level 2); a UUID's are.
  return parseInt(traceId.slice(-13), 16) < ratio * 2 ** 52;
}

function hex(bytes: number): string {
  const random = crypto.getRandomValues(new Uint8Array(bytes));
  return Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
