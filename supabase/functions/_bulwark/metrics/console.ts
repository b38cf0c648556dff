import type { CallerClient } from "../foundation/caller.ts";
import { unwrap } from "../foundation/errors.ts";

/** Everything the console shows for a range. */
export async function readOverview(client: CallerClient, since: string, step: string) {
  const [metrics, alerts, queries] = await Promise.all([
    client.rpc("list_metrics").then(unwrap),
    client.rpc("list_alerts").then(unwrap),
    client.rpc("top_queries", { page_size: 20 }).then(unwrap),
  ]);
  const from = Date.parse(since);
  const shown = metrics.filter(({ last_at }) => last_at && Date.parse(last_at) >= from);
  const read = async (metric: typeof shown[number]) => {
    const { name, kind, unit, description, series } = metric;
    const [summary, points] = await Promise.all([
      client.rpc("read_metric", { metric: name, since }).then(unwrap),
      client.rpc("read_metric", { metric: name, since, step }).then(unwrap),
    ]);
    return { name, kind, unit, description, series, summary: summary[0] ?? null, points };
  };
  return {
    since,
    step,
    metrics: await mapLimited(shown, 4, read),
    cache: await cacheOf(client, since, metrics),
    alerts,
    queries,
  };
}

/** Cache requests by outcome, and the share that needed no load; null if there are none. */
async function cacheOf(client: CallerClient, since: string, metrics: { name: string }[]) {
  if (!metrics.some(({ name }) => name === "cache_requests")) return null;
  const rows = unwrap(
    await client.rpc("read_metric", { metric: "cache_requests", since, group_by: "outcome" }),
  );
  const outcomes = Object.fromEntries(rows.map(({ label, total }) => [label, total]));
  const all = rows.reduce((sum, { total }) => sum + total, 0);
  const missed = (outcomes.load ?? 0) + (outcomes.miss ?? 0);
  return { outcomes, hit_rate: all > 0 ? 1 - missed / all : null };
}

/** Maps items with limited concurrency, in their order. */
async function mapLimited<Item, Result>(
  items: readonly Item[],
  concurrency: number,
  task: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  const queue = items.entries();
  const worker = async () => {
    for (const [index, item] of queue) results[index] = await task(item);
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return results;
}
