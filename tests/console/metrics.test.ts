/** Metrics in Chromium: charts with tables, functions, queries and alerts, for operators alone. */
import assert from "node:assert/strict";
import { createBulwark, supabaseWith } from "../client/support.ts";
import { browser } from "../foundation/browser.ts";
import { launch } from "../foundation/page.ts";
import { connect, createOrganization, liftLimits, ok, service, signUp, url } from "../support.ts";
import { metrics } from "../../supabase/functions/_bulwark/metrics/mod.ts";
import { holds, judge, openConsoleAs, press } from "./support.ts";

/** Requests of two functions during the last day, with more or less time by the hour. */
async function measure(): Promise<void> {
  const times = metrics.histogram("api_response_time", { unit: "milliseconds" });
  const calls = metrics.histogram("database_query_time", { unit: "milliseconds" });
  const cache = metrics.counter("cache_requests");
  for (let value = 1; value <= 60; value++) {
    for (const name of ["rbac", "audit"]) {
      const status = value % 20 === 0 ? "5xx" : value % 9 === 0 ? "4xx" : "2xx";
      times.observe(value * (name === "audit" ? 3 : 1), { function: name, method: "POST", status });
    }
    calls.observe(value / 4, { operation: "rpc/whoami", result: "ok" });
    cache.add(1, { namespace: "roles", outcome: value % 8 === 0 ? "load" : "memory" });
  }
  const samples = metrics.drain() as never;
  ok(await service().rpc("record_metrics", { batch: crypto.randomUUID(), samples }));
  const owner = connect(1);
  await owner`
    insert into bulwark_private.metric_points
    select p.series_id, p.at - make_interval(mins => 15 * n), p.minutes, p.count, p.total,
      0, 100000, p.last, p.zeros,
      array(select (i + 40 * abs(sin(n / 9.0)))::smallint from unnest(p.indexes) as i), p.counts
    from bulwark_private.metric_points p, generate_series(1, 90) as n
    where p.minutes = 1
    on conflict do nothing`;
  await owner.end();
}

Deno.test({
  name: "CONSOLE-O01: an operator sees response times, errors, queries and alerts over time" +
    (browser ? "" : " (needs Chromium; Debian: chromium)"),
  ignore: browser === null,
  async fn() {
    await liftLimits();
    const [root, ada] = [await signUp("root"), await signUp("ada")];
    await createOrganization(ada);
    const owner = connect(1);
    await owner`select bulwark.grant_role(${root.id}, 'super_admin')`;
    await owner.end();
    await measure();
    // The first request builds the console.
    await (await fetch(url)).body?.cancel();
    const chromium = await launch();
    try {
      const { page, faults } = await openConsoleAs(chromium, root, "/project/metrics");
      await page.locator("[data-route=audit]").waitFor();
      await holds(page, "document.querySelectorAll('canvas').length === 3");
      await judge(page, "metrics");
      const times = page.locator("[data-chart='Response time']");
      await holds(
        page,
        `((canvas) => canvas.getContext("2d")
          .getImageData(0, 0, canvas.width, canvas.height).data.some((part) => part > 0)
        )(document.querySelector("[data-chart='Response time'] canvas"))`,
      );
      await times.getByRole("button", { name: "As a table" }).click();
      await times.getByRole("columnheader", { name: "p99" }).waitFor();
      assert.ok(await times.getByRole("row").count() > 80);
      await page.getByRole("button", { name: "rbac", exact: true }).click();
      await page.getByRole("button", { name: /^Function: rbac/ }).waitFor();
      await page.getByLabel("Range").selectOption("7d");
      await holds(page, "/range=7d/.test(location.hash) && /route=rbac/.test(location.hash)");
      await page.reload();
      await page.getByRole("button", { name: /^Function: rbac/ }).click();
      await holds(page, "!/route=/.test(location.hash)");

      await page.getByRole("link", { name: "Database and cache" }).click();
      await holds(page, "document.querySelectorAll('canvas').length === 2");
      await page.locator("[data-chart='Cache hit rate']").getByText("88.3%").waitFor();
      await page.locator("[data-query]").first().waitFor();
      await holds(
        page,
        "getComputedStyle(document.querySelector('[data-query] button')).display === 'block'",
      );
      await judge(page, "queries");

      await page.getByRole("link", { name: "Alerts" }).click();
      await page.locator("[data-alert=cpu_usage]").waitFor();
      await judge(page, "alerts");
      const dialog = page.getByRole("dialog");
      await press(page, "Change api_response_time");
      await dialog.getByLabel("Warning above").fill("2000");
      await dialog.getByRole("button", { name: "Save" }).click();
      await dialog.locator("[data-code=METRICS_INVALID_ALERT_RULE]").waitFor();
      await dialog.getByLabel("Warning above").fill("250");
      await judge(page, "change-alert");
      await dialog.getByRole("button", { name: "Save" }).click();
      await page.locator("[data-alert=api_response_time]").getByText("250 ms").waitFor();
      await page.getByRole("button", { name: "New alert" }).click();
      await dialog.getByLabel("Name").fill("slow_database");
      await dialog.getByLabel("Metric").selectOption("database_query_time");
      await dialog.getByLabel("Critical above").fill("500");
      await dialog.getByRole("button", { name: "Save" }).click();
      await page.locator("[data-alert=slow_database]").waitFor();
      const bulwark = createBulwark(supabaseWith(root.token), { throwOnError: true });
      const rules = new Map((await bulwark.metrics.alerts()).map((rule) => [rule.name, rule]));
      const { warning, critical, minimum_count } = rules.get("api_response_time")!;
      assert.deepEqual([warning, critical, minimum_count], [250, 1000, 20]);
      assert.equal(rules.get("slow_database")?.critical, 500);
      await press(page, "Delete slow_database");
      await dialog.getByRole("button", { name: "Delete" }).click();
      await page.locator("[data-alert=slow_database]").waitFor({ state: "detached" });
      assert.deepEqual(faults, []);
      await page.context().close();

      // An administrator of an organization is no operator.
      const other = await openConsoleAs(chromium, ada, "/project/metrics");
      await other.page.getByText("This is not open to you").waitFor();
      assert.equal(await other.page.getByRole("link", { name: "Metrics" }).count(), 0);
      await judge(other.page, "metrics-refused");
      assert.deepEqual(other.faults, []);
      await other.page.context().close();
    } finally {
      await chromium.close();
    }
  },
});
