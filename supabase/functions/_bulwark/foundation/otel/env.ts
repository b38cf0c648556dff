import { fromDeno, type GetVariable } from "../env.ts";

/** Where OpenTelemetry data goes, by the standard variables of its SDKs. */
export interface OtelEnv {
  /** The full URL for spans; null: none are exported. */
  tracesUrl: string | null;
  /** The full URL for metrics; null: none are exported. */
  metricsUrl: string | null;
  tracesHeaders: Record<string, string>;
  metricsHeaders: Record<string, string>;
  /** How long an export may take, in milliseconds. */
  timeoutMs: number;
  /** Milliseconds between the first span and its export. */
  delayMs: number;
  /** Spans that wait at most; further ones are dropped. */
  maxQueue: number;
  /** Attributes of the resource, `service.name` among them. */
  resource: Record<string, string>;
  sampler: Sampler;
}

/** Which traces are recorded: a share of those that begin here, and whether a caller decides. */
export interface Sampler {
  ratio: number;
  followsParent: boolean;
}

/**
 * Reads the variables `OTEL_…`. Null where nothing is exported: no endpoint, OTEL_SDK_DISABLED, or a
 * protocol other than http/json, which `log` says.
 */
export function readOtelEnv(
  get: GetVariable = fromDeno,
  log: (line: string) => void = console.error,
): OtelEnv | null {
  if (get("OTEL_SDK_DISABLED")?.trim().toLowerCase() === "true") return null;
  const urlOf = (signal: "traces" | "metrics") => {
    const exporter = get(`OTEL_${signal.toUpperCase()}_EXPORTER`)?.trim() || "otlp";
    const own = get(`OTEL_EXPORTER_OTLP_${signal.toUpperCase()}_ENDPOINT`)?.trim();
    const base = get("OTEL_EXPORTER_OTLP_ENDPOINT")?.trim().replace(/\/+$/, "");
    const url = own || (base ? `${base}/v1/${signal}` : null);
    if (exporter !== "otlp" || !url) return null;
    if (/^https?:$/.test(URL.parse(url)?.protocol ?? "")) return url;
    // The address may hold a credential, so it is not quoted.
    log(`The OTLP endpoint for ${signal} is no http address; nothing is exported`);
    return null;
  };
  const tracesUrl = urlOf("traces");
  const metricsUrl = urlOf("metrics");
  if (!tracesUrl && !metricsUrl) return null;
  const protocol = get("OTEL_EXPORTER_OTLP_PROTOCOL")?.trim() || "http/json";
  if (protocol !== "http/json") {
    log("OTEL_EXPORTER_OTLP_PROTOCOL is not http/json; nothing is exported");
    return null;
  }
  const headersOf = (signal: string) => ({
    ...pairs(get("OTEL_EXPORTER_OTLP_HEADERS")),
    ...pairs(get(`OTEL_EXPORTER_OTLP_${signal}_HEADERS`)),
  });
  const attributes = pairs(get("OTEL_RESOURCE_ATTRIBUTES"));
  return {
    tracesUrl,
    metricsUrl,
    tracesHeaders: headersOf("TRACES"),
    metricsHeaders: headersOf("METRICS"),
    timeoutMs: positive(get("OTEL_EXPORTER_OTLP_TIMEOUT"), 10_000, 60_000),
    delayMs: positive(get("OTEL_BSP_SCHEDULE_DELAY"), 2000, 60_000),
    maxQueue: positive(get("OTEL_BSP_MAX_QUEUE_SIZE"), 2048, 65_536),
    resource: {
      ...attributes,
      "service.name": get("OTEL_SERVICE_NAME")?.trim() || attributes["service.name"] || "bulwark",
    },
    sampler: samplerOf(get("OTEL_TRACES_SAMPLER")?.trim() ?? "", get("OTEL_TRACES_SAMPLER_ARG")),
  };
}

/** `key1=value1,key2=value2`, with values in percent encoding (W3C Baggage). */
function pairs(text = ""): Record<string, string> {
  const found: Record<string, string> = {};
  for (const entry of text.split(",")) {
    const [, name, value = ""] = /^\s*([\w.-]+)\s*=\s*(.*?)\s*$/.exec(entry) ?? [];
    if (!name) continue;
    try {
      found[name] = decodeURIComponent(value);
    } catch {
      found[name] = value;
    }
  }
  return found;
}

function positive(text: string | undefined, fallback: number, most: number): number {
  const value = Number(text);
  return Number.isInteger(value) && value > 0 && value <= most ? value : fallback;
}

/** An unknown sampler is the default one, as the specification demands. */
function samplerOf(name: string, argument: string | undefined): Sampler {
  const share = Number(argument?.trim() || NaN);
  const ratio = share >= 0 && share <= 1 ? share : 1;
  switch (name) {
    case "always_on":
      return { ratio: 1, followsParent: false };
    case "always_off":
      return { ratio: 0, followsParent: false };
    case "traceidratio":
      return { ratio, followsParent: false };
    case "parentbased_always_off":
      return { ratio: 0, followsParent: true };
    case "parentbased_traceidratio":
      return { ratio, followsParent: true };
    default:
      return { ratio: 1, followsParent: true };
  }
}
