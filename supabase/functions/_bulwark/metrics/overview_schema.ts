/** The answer of `GET /bulwark-metrics` as JSON. */
import { z } from "zod";

const moment = () => z.iso.datetime({ offset: true });
const number = () => z.number().nullable();

const reading = () =>
  z.object({
    at: moment(),
    label: z.string().nullable(),
    count: number(),
    total: number(),
    mean: number(),
    minimum: number(),
    maximum: number(),
    last: number(),
    p50: number(),
    p95: number(),
    p99: number(),
  });

/** Everything that the console shows for a range. */
export const overview = () =>
  z.object({
    since: moment(),
    step: z.string(),
    metrics: z.array(z.object({
      name: z.string(),
      kind: z.string(),
      unit: z.string().nullable(),
      description: z.string(),
      series: z.int(),
      summary: reading().nullable(),
      points: z.array(reading()),
    })),
    cache: z.object({
      outcomes: z.record(z.string(), z.number()),
      hit_rate: z.number().nullable().describe("The share of requests that needed no load."),
    }).nullable(),
    alerts: z.array(z.object({
      name: z.string(),
      description: z.string(),
      metric: z.string(),
      statistic: z.string(),
      labels: z.unknown(),
      time_window: z.string(),
      lasting: z.string(),
      recovering: z.string(),
      cool_down: z.string(),
      minimum_count: z.int(),
      raise_without_data: z.boolean(),
      enabled: z.boolean(),
      warning: number(),
      critical: number(),
      state: z.string().nullable(),
      value: number(),
      since: moment().nullable(),
      raised_at: moment().nullable(),
      evaluated_at: moment().nullable(),
    })),
    queries: z.array(z.object({
      query: z.string(),
      calls: z.number(),
      total_ms: z.number(),
      mean_ms: z.number(),
      maximum_ms: z.number(),
      returned_rows: z.number(),
      share: z.number(),
    })),
  });
