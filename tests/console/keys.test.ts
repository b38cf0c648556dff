/** API keys in Chromium: made and shown once, rotated, revoked, and offered to those alone who may. */
import assert from "node:assert/strict";
import { createBulwark, supabaseWith } from "../client/support.ts";
import { browser } from "../foundation/browser.ts";
import { launch } from "../foundation/page.ts";
import { connect, createOrganization, join, liftLimits, signUp, url } from "../support.ts";
import { holds, judge, openConsole, openConsoleAs, press, signIn } from "./support.ts";

Deno.test({
  name: "CONSOLE-E09: API keys are made, shown once, rotated and revoked with a reason" +
    (browser ? "" : " (needs Chromium; Debian: chromium)"),
  ignore: browser === null,
  async fn() {
    await liftLimits();
    const [ada, mia] = [await signUp("ada"), await signUp("mia")];
    const acme = await createOrganization(ada);
    await join(ada, acme, mia, "viewer");
    const bulwark = createBulwark(supabaseWith(ada.token), { throwOnError: true });
    const { slug } = (await bulwark.organizations.get(acme))!;
    // The first request builds the console.
    await (await fetch(url)).body?.cancel();
    const chromium = await launch();
    try {
      const { page, faults } = await openConsole(chromium, `/o/${slug}/keys`);
      await signIn(page, ada);
      await page.getByText("No API key").waitFor();
      await judge(page, "keys-empty");
      await page.getByRole("button", { name: "Make a key" }).click();
      const dialog = page.getByRole("dialog");
      await holds(page, "document.activeElement.name === 'name'");
      await dialog.getByLabel("Name").fill("nightly import");
      await dialog.getByLabel("Networks").fill("nowhere");
      await judge(page, "new-key");
      await dialog.getByRole("button", { name: "Make" }).click();
      await dialog.locator("[data-code=API_KEY_INVALID_SCOPES]").waitFor();
      await dialog.getByRole("checkbox").first().check();
      await dialog.getByRole("button", { name: "Make" }).click();
      await dialog.locator("[data-code=API_KEY_INVALID_NETWORK]").waitFor();
      assert.equal(await dialog.getByLabel("Name").inputValue(), "nightly import");
      await dialog.getByLabel("Networks").fill("203.0.113.0/24");
      await dialog.getByRole("button", { name: "Make" }).click();
      const issued = page.locator("[data-issued]");
      await issued.waitFor();
      await judge(page, "key-issued");
      const [key] = await bulwark.apiKeys.list(acme);
      assert.equal(key?.name, "nightly import");
      assert.deepEqual(key.networks, ["203.0.113.0/24"]);
      assert.ok((await issued.innerText()).includes(key.first_characters));
      // Only its button closes the dialog: Escape, a click beside it and the back button do not.
      await holds(page, "document.querySelector('[role=dialog]').contains(document.activeElement)");
      await page.keyboard.press("Escape");
      await page.mouse.click(5, 5);
      await page.goBack();
      await holds(page, "location.hash.startsWith('#/o/')");
      const shown = await issued.innerText();
      await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
      await dialog.getByRole("button", { name: "Copy the key" }).click();
      await dialog.getByRole("button", { name: "Copied" }).waitFor();
      assert.ok(shown.includes(String(await page.evaluate("navigator.clipboard.readText()"))));
      await page.getByRole("button", { name: "I have kept it" }).click();
      assert.equal(await issued.count(), 0);

      await press(page, "Rotate nightly import");
      await dialog.getByLabel("The old key works").selectOption("3600");
      await judge(page, "rotate-key");
      assert.equal((await bulwark.apiKeys.list(acme)).length, 1, "a click alone rotates nothing");
      await dialog.getByRole("button", { name: "Rotate", exact: true }).click();
      await issued.waitFor();
      await page.getByRole("button", { name: "I have kept it" }).click();
      await page.reload();
      await page.locator("[data-key]").nth(1).waitFor();
      assert.equal(await issued.count(), 0, "a key is shown once");
      const replaced = page.locator("[data-key]").filter({ hasText: "replaced" });
      await replaced.getByText(/^in (59|60) minutes$|^in 1 hour$/).waitFor();
      assert.equal(await replaced.getByRole("button", { name: /^Rotate/ }).count(), 0);
      await press(page, "Revoke nightly import");
      await dialog.getByRole("button", { name: "Revoke" }).click();
      await dialog.locator("[data-code=API_KEY_INVALID_REASON]").waitFor();
      await dialog.getByLabel("Reason").fill("it leaked");
      await dialog.getByRole("button", { name: "Revoke" }).click();
      await page.locator("[data-key]").nth(1).waitFor({ state: "detached" });
      await page.getByLabel("With revoked and expired ones").check();
      await page.getByText("revoked", { exact: true }).waitFor();
      await judge(page, "keys");
      const all = await bulwark.apiKeys.list(acme, { include_ended: true });
      assert.deepEqual(all.map(({ revoked_because }) => revoked_because).sort(), [
        "it leaked",
        null,
      ]);

      // A key that asks for more than its owner may by now.
      const holder = { user: mia.id, organization: acme, role: "builder" };
      await bulwark.roles.create(acme, {
        name: holder.role,
        permissions: ["api_key:create", "analytics:write"],
      });
      await bulwark.roles.grant(holder);
      const lent = await createBulwark(supabaseWith(mia.token), { throwOnError: true })
        .apiKeys.create(acme, { name: "lent", scopes: ["analytics:read", "analytics:write"] });
      await bulwark.roles.revoke(holder);
      await page.reload();
      await page.getByRole("button", { name: /^2 scopes, 1 in force.*lent$/ }).click();
      await dialog.locator("[data-scopes=in-force]").getByText("Read analytics").waitFor();
      const absent = dialog.locator("[data-scopes=absent]");
      await absent.getByText("Write analytics").waitFor();
      await absent.getByText(`Its owner, ${mia.email}, may not do this now`).waitFor();
      await judge(page, "key-scopes");
      await dialog.getByRole("button", { name: "Close" }).click();
      await bulwark.apiKeys.revoke(lent.id, "The test is over");

      // More keys than a page has, and than a member may have by default.
      const owner = connect(1);
      await owner`update bulwark.settings set value = '500' where name = 'api_keys.limit_per_owner'`;
      const { scopes } = await bulwark.apiKeys.options(acme);
      const more = { name: "of many", scopes: [scopes[0]!.permission] };
      for (let part = 0; part < 10; part++) {
        await Promise.all(Array.from({ length: 10 }, () => bulwark.apiKeys.create(acme, more)));
      }
      await owner`update bulwark.settings set value = '50' where name = 'api_keys.limit_per_owner'`;
      await owner.end();
      await page.reload();
      await page.locator("[data-key]").nth(99).waitFor();
      assert.equal(await page.locator("[data-key]").count(), 100);
      await page.getByRole("button", { name: "Show more" }).click();
      await page.locator('[data-key="nightly import"]').waitFor();
      assert.equal(await page.locator("[data-key]").count(), 101);
      assert.deepEqual(faults, []);
      await page.context().close();

      const viewer = await openConsoleAs(chromium, mia, `/o/${slug}/keys`);
      await viewer.page.getByText("This is not open to you").waitFor();
      assert.equal(await viewer.page.getByRole("link", { name: "API keys" }).count(), 0);
      await viewer.page.context().close();
    } finally {
      await chromium.close();
    }
  },
});
