/** The exposition text, checked by a strict parser of both formats and by promtool. */
import assert from "node:assert/strict";
import {
  type ScrapedMetric,
  toText,
} from "../../../supabase/functions/_bulwark/metrics/exposition.ts";
import { formatOf } from "../../../supabase/functions/_bulwark/metrics/format.ts";
import { carriesSecret } from "../../../supabase/functions/_bulwark/foundation/credentials.ts";
import { readText } from "../../../scripts/testing/exposition.ts";

const scraped: ScrapedMetric[] = [
  {
    name: "api_response_time",
    kind: "histogram",
    unit: "milliseconds",
    description: 'Says "how long",\nin \\ text',
    series: [
      [{ function: "rbac", odd: 'a"b\\c\nd' }, 6, 41.5, null, 1, [-3, 1, 4, 30], [1, 2, 1, 1]],
      [{}, 0, 0, null, 0, [], []],
    ],
  },
  {
    name: "jobs_total",
    kind: "counter",
    unit: "",
    description: "Jobs",
    series: [[{}, 3, 7.5, null, 0, [], []]],
  },
  {
    name: "memory_usage",
    kind: "gauge",
    unit: "percent",
    description: "Memory",
    series: [[{}, 2, 90, 42.5, 0, [], []]],
  },
  {
    name: "sizes",
    kind: "histogram",
    unit: "bytes",
    description: "Sizes",
    series: [[{}, 1, 5e6, null, 0, [23], [1]]],
  },
];

for (const format of ["prometheus", "openmetrics"] as const) {
  Deno.test(`MET-U20: ${format} text is what a strict reader takes, with the right values`, () => {
    const families = readText(toText(scraped, format), format);
    assert.deepEqual([...families.keys()].map((name) => name.replace(/_total$/, "")), [
      "bulwark_api_response_time_seconds",
      "bulwark_jobs",
      "bulwark_memory_usage_ratio",
      "bulwark_sizes_bytes",
    ]);
    const time = families.get("bulwark_api_response_time_seconds")!;
    assert.equal(time.type, "histogram");
    const upto = (le: number) =>
      time.samples.find(({ labels }) => labels.function === "rbac" && Number(labels.le) === le)
        ?.value;
    assert.deepEqual([upto(0.001), upto(0.002), upto(0.008), upto(0.016)], [2, 4, 4, 5]);
    assert.equal(upto(65.536), 5, "what is beyond the last bound is in +Inf alone");
    assert.equal(time.samples.find(({ labels }) => labels.le === "+Inf")?.value, 6);
    assert.equal(time.samples[0]?.labels.odd, 'a"b\\c\nd');
    assert.equal(time.samples.find(({ name }) => name.endsWith("_sum"))?.value, 0.0415);
    const jobs = [...families].find(([name]) => name.startsWith("bulwark_jobs"))?.[1];
    assert.deepEqual(jobs?.samples.map(({ name, value }) => [name, value]), [[
      "bulwark_jobs_total",
      7.5,
    ]]);
    assert.equal(families.get("bulwark_memory_usage_ratio")?.samples[0]?.value, 0.425);
  });
}

Deno.test("MET-U21: every series of a histogram has the same bounds", () => {
  const families = readText(toText(scraped, "prometheus"), "prometheus");
  const { samples } = families.get("bulwark_api_response_time_seconds")!;
  const bounds = (name: string | undefined) =>
    samples.filter(({ labels }) => labels.function === name && labels.le).map(({ labels }) =>
      labels.le
    );
  assert.deepEqual(bounds("rbac"), bounds(undefined));
});

const promtool = await new Deno.Command("sh", {
  args: ["-c", "command -v promtool"],
  stdout: "piped",
}).output().then(({ stdout }) => new TextDecoder().decode(stdout).trim());

Deno.test({
  name: "MET-U22: promtool finds nothing wrong" +
    (promtool ? "" : " (needs promtool; Debian: prometheus)"),
  ignore: !promtool,
  async fn() {
    const child = new Deno.Command(promtool, {
      args: ["check", "metrics"],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(toText(scraped, "prometheus")));
    await writer.close();
    const { success, stderr } = await child.output();
    assert.ok(success, new TextDecoder().decode(stderr));
  },
});

Deno.test("MET-U23: the format is what is asked for, else what Accept says, else Prometheus text", () => {
  const of = (accept: string, asked?: "json") =>
    formatOf(new Request("http://localhost/metrics", { headers: { accept } }), asked);
  assert.equal(of("*/*"), "prometheus");
  assert.equal(of("application/openmetrics-text;version=1.0.0,text/plain;q=0.5"), "openmetrics");
  assert.equal(of("application/json"), "json");
  assert.equal(of("text/plain", "json"), "json");
});

Deno.test("MET-U24: the scraper's token opens, and nothing near it or too short", () => {
  const token = "0123456789abcdef0123456789abcdef";
  const ask = (authorization: string | null, expected: string | null = token) =>
    carriesSecret(
      new Request("http://localhost/metrics", authorization ? { headers: { authorization } } : {}),
      [null, expected, "another-0123456789abcdef0123456789"],
    );
  assert.ok(ask(`Bearer ${token}`));
  for (const wrong of [null, "Bearer", "Bearer ", token, `Basic ${token}`, `Bearer ${token}0`]) {
    assert.ok(!ask(wrong), String(wrong));
  }
  assert.ok(!ask("Bearer short", "short") && !ask("Bearer ", "") && !ask("Bearer ", null));
});

Deno.test("MET-U25: two metrics that come out under one name do not spoil the scrape", () => {
  const one = (name: string, kind: "counter" | "gauge" | "histogram", unit = "") => ({
    ...{ name, kind, unit, description: "d" },
    series: [[{}, 1, 1, 1, 0, [], []]] as ScrapedMetric["series"],
  });
  const clashing = [
    one("jobs", "counter"),
    one("jobs_total", "counter"),
    one("time", "histogram", "milliseconds"),
    one("time_seconds", "histogram", "seconds"),
    one("time_seconds_count", "gauge"),
    one("alert_level", "gauge"),
    one("alert_level", "gauge"),
  ];
  for (const format of ["prometheus", "openmetrics"] as const) {
    const families = readText(toText(clashing, format), format);
    assert.equal(families.size, clashing.length);
    assert.ok(families.has("bulwark_time_2_seconds"));
  }
});
