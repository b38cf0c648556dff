/** The command palette in Chromium: reached and used by keys alone, with no more than the person may. */
import assert from "node:assert/strict";
import { createBulwark, supabaseWith } from "../client/support.ts";
import { browser } from "../foundation/browser.ts";
import { launch } from "../foundation/page.ts";
import { createOrganization, join, liftLimits, signUp, url } from "../support.ts";
import { holds, judge, openConsoleAs } from "./support.ts";

Deno.test({
  name: "CONSOLE-E11: the palette leads to screens, organizations, people, entries and actions" +
    (browser ? "" : " (needs Chromium; Debian: chromium)"),
  ignore: browser === null,
  async fn() {
    await liftLimits();
    const [ada, mia, bob] = [await signUp("ada"), await signUp("mia"), await signUp("bob")];
    const acme = await createOrganization(ada);
    const second = await createOrganization(ada);
    const globex = await createOrganization(bob);
    await join(ada, acme, mia, "viewer");
    const bulwark = createBulwark(supabaseWith(ada.token), { throwOnError: true });
    const { slug } = (await bulwark.organizations.get(acme))!;
    const other = (await bulwark.organizations.get(second))!;
    const { entries } = await bulwark.audit.search({ organization_id: acme, page_size: 50 });
    const entry = entries.at(-1)!;
    const bobs = await createBulwark(supabaseWith(bob.token), { throwOnError: true })
      .audit.search({ organization_id: globex, page_size: 1 });
    // The first request builds the console.
    await (await fetch(url)).body?.cancel();
    const chromium = await launch();
    try {
      const { page, faults } = await openConsoleAs(chromium, ada, `/o/${slug}`);
      await page.locator("[data-answer]").waitFor();
      const input = page.getByRole("combobox", { name: "Search screens" });
      const chosen = page.locator("[role=option][aria-selected=true]");
      const find = async (text: string, result: string) => {
        await page.keyboard.press("Control+k");
        await input.waitFor();
        await page.keyboard.type(text);
        await chosen.filter({ hasText: result }).waitFor();
        await page.keyboard.press("Enter");
        await input.waitFor({ state: "detached" });
      };
      await find("roles", "Roles");
      await page.getByRole("heading", { name: "Roles" }).waitFor();
      await find(other.slug, other.slug);
      await holds(page, `location.hash === "#/o/${other.slug}"`);
      await find(slug, slug);
      await find("invite", "Invite somebody");
      await page.getByRole("dialog", { name: `Invite to ${slug}` }).waitFor();
      await page.reload();
      await page.getByRole("dialog", { name: `Invite to ${slug}` }).waitFor();
      await page.keyboard.press("Escape");
      await holds(page, "!location.hash.includes('open=')");
      await find(mia.email, mia.email);
      await holds(page, `location.hash.includes("member=${mia.id}")`);
      await page.goto(`${url}/#/o/${slug}`);
      await find(entry.id, "Entry");
      const drawer = page.getByRole("dialog");
      await drawer.getByRole("heading", { name: entry.event_type }).waitFor();
      await page.keyboard.press("Escape");
      await drawer.waitFor({ state: "hidden" });

      await page.keyboard.press("Control+k");
      await page.keyboard.press("ArrowDown");
      await page.keyboard.press("ArrowDown");
      await page.keyboard.press("ArrowUp");
      assert.equal(
        await input.getAttribute("aria-activedescendant"),
        await chosen.getAttribute("id"),
      );
      await judge(page, "palette");
      await page.keyboard.type("nothing is called so");
      await page.getByText("Nothing matches").waitFor();
      await page.keyboard.press("Escape");
      await input.waitFor({ state: "detached" });

      // An entry that no page of the list shows opens by its address; that of others does not exist.
      await page.goto(`${url}/#/o/${slug}/audit?severity=critical&entry=${entry.id}`);
      await drawer.getByRole("heading", { name: entry.event_type }).waitFor();
      await page.goto(`${url}/#/o/${slug}/audit?entry=${bobs.entries[0]?.id}`);
      await page.getByText("This log has no entry").waitFor();
      assert.deepEqual(faults, []);
      await page.context().close();

      const viewer = await openConsoleAs(chromium, mia, `/o/${slug}`);
      await viewer.page.locator("[data-answer]").waitFor();
      await viewer.page.getByRole("button", { name: "Search" }).click();
      await viewer.page.getByRole("option", { name: "Members" }).waitFor();
      const offered = (await viewer.page.getByRole("option").allInnerTexts()).join("\n");
      assert.match(offered, /My security/);
      assert.doesNotMatch(offered, /Invite|Make|Audit|API keys/);
      assert.equal(offered.includes(other.slug), false);
      await viewer.page.keyboard.type(entry.id);
      await viewer.page.getByText("Nothing matches").waitFor();
      assert.deepEqual(viewer.faults, []);
      await viewer.page.context().close();
    } finally {
      await chromium.close();
    }
  },
});
