/** The audit log is verified in Chromium: intact, altered by a superuser, and files that prove nothing. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createBulwark, supabaseWith } from "../client/support.ts";
import { acme, actAndSign, ada, bundleOf, eve, globex, idsIn, tamper } from "../audit/support.ts";
import { browser } from "../foundation/browser.ts";
import { launch } from "../foundation/page.ts";
import { join, signUp, url } from "../support.ts";
import { holds, judge, openConsole, signIn } from "./support.ts";

Deno.test({
  name:
    "CONSOLE-E07: the browser proves that a log is intact, and names the entry that a superuser altered" +
    (browser ? "" : " (needs Chromium; Debian: chromium)"),
  ignore: browser === null,
  async fn() {
    const [mia, rex] = [await signUp("mia"), await signUp("rex")];
    const bulwark = createBulwark(supabaseWith(ada.token), { throwOnError: true });
    await bulwark.roles.create(acme, { name: "reader", permissions: ["audit:read"] });
    await join(ada, acme, mia, "viewer");
    await join(ada, acme, rex, "reader");
    await actAndSign(ada, acme, 5);
    await actAndSign(eve, globex, 1);
    const { slug } = (await bulwark.organizations.get(acme))!;
    // The first request builds the console.
    await (await fetch(url)).body?.cancel();
    await using chromium = {
      browser: await launch(),
      [Symbol.asyncDispose]: () => chromium.browser.close(),
    };

    const { page, faults } = await openConsole(chromium.browser, `/o/${slug}/audit`);
    await signIn(page, ada);
    await holds(page, "Number(document.querySelector('[data-histogram]')?.dataset.histogram) > 5");
    await page.getByRole("button", { name: "As a table" }).click();
    await page.getByRole("group", { name: "Numbers of entries" }).waitFor();
    await judge(page, "histogram-table");
    await page.getByRole("link", { name: "Verify and export" }).click();
    const whole = page.getByRole("button", { name: "Verify the whole log" });
    await page.getByText("told by the project itself", { exact: true }).waitFor({
      timeout: 60_000,
    });
    await whole.click();
    const intact = page.locator("[data-outcome=intact]");
    await intact.waitFor({ timeout: 60_000 });
    await page.getByText("by keys that the project itself told").waitFor({ timeout: 60_000 });
    await page.getByText("All entries up to the seal of").waitFor();
    await page.getByLabel("Period").selectOption("Last month");
    await intact.waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Verify this period" }).click();
    // The log is younger than that: the entry after the period is its first.
    await intact.getByText(/^Intact: .*\d{4}$/).waitFor({ timeout: 60_000 });
    await page.getByText("Nothing of this period: the first seal after it").waitFor();
    await judge(page, "verify-intact");
    await page.reload();
    await page.getByRole("button", { name: "Verify this period" }).waitFor();
    await page.getByLabel("Period").selectOption("Today");
    await page.getByRole("button", { name: "Verify this period" }).click();
    await intact.getByText(/^Intact: /).waitFor({ timeout: 60_000 });
    await page.getByLabel("Period").selectOption("The whole log");
    const exports = await bulwark.audit.search({
      organization_id: acme,
      event_types: ["data.export"],
    });
    assert.ok(exports.entries.length >= 2);
    for (const { details } of exports.entries) {
      assert.equal(details?.["purpose"], "verification");
    }
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "Export as a file" }).click(),
    ]);
    const text = await Deno.readTextFile(await download.path());
    const altered = idsIn(text).at(-2)!;
    await page.getByRole("button", { name: "I have compared them" }).click();
    const keys = await page.getByLabel("Public keys").inputValue();
    assert.match(keys, /\+/);

    await tamper((sql) =>
      sql`update bulwark.audit_logs set action = 'nothing' where id = ${altered}`
    );
    await whole.click();
    await page.locator("[data-outcome=altered]").waitFor({ timeout: 60_000 });
    const finding = page.locator("[data-finding=ENTRY_ALTERED]");
    assert.ok((await finding.innerText()).includes(altered), "the entry is named");
    await page.getByText("by keys that are kept in this browser").waitFor({ timeout: 60_000 });
    await judge(page, "verify-altered");
    const [beside] = await Promise.all([
      page.context().waitForEvent("page"),
      finding.getByRole("link", { name: "as it is in the log now" }).click(),
    ]);
    await beside.getByRole("dialog").getByText("nothing", { exact: true }).waitFor();
    await beside.close();

    const choose = (content: string) =>
      page.getByLabel("An export to verify").setInputFiles({
        name: "log.ndjson",
        mimeType: "application/x-ndjson",
        buffer: Buffer.from(content),
      });
    // The export of before is still as it was signed.
    await choose(text);
    await intact.waitFor({ timeout: 60_000 });
    await choose(text.replace('"severity":"info"', '"severity":"debug"'));
    await page.locator("[data-outcome=altered]").waitFor({ timeout: 60_000 });
    await choose(text.slice(0, text.length / 2));
    await page.locator("[data-code=BUNDLE_CUT]").waitFor({ timeout: 60_000 });
    await choose('{"type":"entry"}\n');
    await page.locator("[data-code=NOT_A_BUNDLE], [data-code=MALFORMED_BUNDLE]").waitFor({
      timeout: 60_000,
    });
    await choose(await (await bundleOf(eve, globex)).text());
    await page.locator("[data-outcome]:not([data-outcome=intact])").waitFor({ timeout: 60_000 });
    await page.getByLabel("Public keys").fill("no key");
    await choose(text);
    await page.locator("[data-code=BAD_KEY]").waitFor({ timeout: 60_000 });
    await judge(page, "verify-failed");
    await page.reload();
    assert.equal(await page.getByLabel("Public keys").inputValue(), "no key");
    assert.deepEqual(faults, []);
    await page.context().close();

    const reader = await openConsole(chromium.browser, `/o/${slug}/verify`);
    await signIn(reader.page, rex);
    // Nothing can be chosen before the page knows keys to trust.
    await reader.page.locator("input[type=file]:enabled").waitFor();
    assert.equal(
      await reader.page.getByRole("button", { name: "Verify the whole log" }).count(),
      0,
    );
    await reader.page.getByLabel("An export to verify").setInputFiles({
      name: "log.ndjson",
      mimeType: "application/x-ndjson",
      buffer: Buffer.from(text),
    });
    await reader.page.locator("[data-outcome=intact]").waitFor({ timeout: 60_000 });
    assert.deepEqual(reader.faults, []);
    await reader.page.context().close();

    const viewer = await openConsole(chromium.browser, `/o/${slug}/verify`);
    await signIn(viewer.page, mia);
    await viewer.page.getByText("This is not open to you").waitFor({ timeout: 60_000 });
    await viewer.page.context().close();
  },
});
