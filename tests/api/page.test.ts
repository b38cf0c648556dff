/** The document and its pages as the stack serves them. */
import assert from "node:assert/strict";
import { browser } from "../foundation/browser.ts";
import { assertAccessible, launch, openPage, picture, sizes } from "../foundation/page.ts";
import { url } from "../support.ts";
import { document } from "./document.ts";

type Screen = readonly [keyof typeof sizes, "light" | "dark"];
const screens = [
  ["desktop", "light"],
  ["desktop", "dark"],
  ["phone", "light"],
  ["phone", "dark"],
] as const satisfies Screen[];

Deno.test("API-01: the stack serves the document, and its files alone, under a strict policy", async () => {
  const served = await fetch(`${url}/docs/api/openapi.json`);
  assert.deepEqual(await served.json(), document);
  const policy = served.headers.get("content-security-policy") ?? "";
  assert.match(policy, /script-src 'self'; style-src 'self';/);
  assert.doesNotMatch(policy, /unsafe|\*/);
  const moved = await fetch(`${url}/docs/api`, { redirect: "manual" });
  assert.deepEqual([moved.status, moved.headers.get("location")], [308, "/docs/api/"]);
  await moved.body?.cancel();
  for (
    const path of ["index.js", "../api/page.js.map", "..%2fapi.md", "page.css/", "constructor"]
  ) {
    const { status, body } = await fetch(`${url}/docs/api/${path}`);
    assert.equal(status, 404, path);
    await body?.cancel();
  }
});

Deno.test({
  name: "API-02: the pages load nothing from elsewhere, and are readable in both themes" +
    (browser ? "" : " (needs Chromium; Debian: chromium)"),
  ignore: browser === null,
  async fn() {
    const chromium = await launch();
    try {
      const { page, faults } = await openPage(chromium);
      const elsewhere: string[] = [];
      page.on("request", (request) => {
        if (!request.url().startsWith(url) && !request.url().startsWith("data:")) {
          elsewhere.push(request.url());
        }
      });
      await page.goto(`${url}/docs/api/`);
      // A busy machine takes its time with 1.7 MB of script.
      page.setDefaultTimeout(60_000);
      await page.getByRole("heading", { name: "Bulwark" }).waitFor();
      await page.locator("#operations-tag-mfa").waitFor();
      await page.locator("#operations-tag-mfa button").first().click();
      await page.locator("#operations-mfa-functions_mfa_enroll button").first().click();
      await page.locator("#operations-mfa-functions_mfa_enroll .responses-table").first().waitFor();
      const judge = async (screens: readonly Screen[], state: string) => {
        for (const [size, colorScheme] of screens) {
          await page.setViewportSize(sizes[size]);
          await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
          // Colors fade for a moment.
          await new Promise((resolve) => setTimeout(resolve, 1000));
          await picture(page, `api-${state}-${size}-${colorScheme}`);
          await assertAccessible(page, `api-${state}-${size}-${colorScheme}`);
        }
      };
      await page.locator(".try-out__btn").first().click();
      await page.locator(".execute").first().waitFor();
      await judge(screens, "operation");
      assert.match(page.url(), /#\/mfa\/functions_mfa_enroll$/, "it has an address");
      await page.locator(".btn.authorize").first().click();
      await page.getByRole("dialog", { name: "Available authorizations" }).waitFor();
      await judge([screens[0], screens[3]], "authorize");
      await page.getByRole("button", { name: "Close" }).first().click();
      assert.deepEqual([faults, elsewhere], [[], []]);
    } finally {
      await chromium.close();
    }
  },
});
