/** Second factors of an organization in Chromium: the policy, who lacks one, and resets by two people. */
import assert from "node:assert/strict";
import { createBulwark, supabaseWith } from "../client/support.ts";
import { browser } from "../foundation/browser.ts";
import { launch } from "../foundation/page.ts";
import { enrolled } from "../mfa/support.ts";
import { createOrganization, join, liftLimits, signUp, url } from "../support.ts";
import { holds, judge, openConsoleAs, press } from "./support.ts";

Deno.test({
  name:
    "CONSOLE-E23: a policy for second factors, who lacks one, and a reset that two people make" +
    (browser ? "" : " (needs Chromium; Debian: chromium)"),
  ignore: browser === null,
  async fn() {
    await liftLimits();
    const [ada, lea, mia] = [await enrolled("ada"), await enrolled("lea"), await enrolled("mia")];
    const [pat, bob] = [await signUp("pat"), await signUp("bob")];
    const acme = await createOrganization(ada);
    await createOrganization(bob);
    await join(ada, acme, lea, "admin");
    await join(ada, acme, mia, "viewer");
    await join(ada, acme, pat, "viewer");
    const bulwark = createBulwark(supabaseWith(ada.token), { throwOnError: true });
    const { slug } = (await bulwark.organizations.get(acme))!;
    // The first request builds the console.
    await (await fetch(url)).body?.cancel();
    const chromium = await launch();
    try {
      const { page, faults } = await openConsoleAs(chromium, ada, `/o/${slug}/mfa`);
      const dialog = page.getByRole("dialog");
      await page.getByText("not required", { exact: true }).waitFor();
      await page.getByRole("button", { name: "Change" }).click();
      await dialog.getByLabel("Require a second factor").check();
      // It lists who would be locked out then: the one without a factor, and nobody else.
      const lockedOut = dialog.locator("[data-locked-out] li");
      await lockedOut.filter({ hasText: pat.email }).waitFor();
      assert.equal(await lockedOut.count(), 1);
      const required = new Date(Date.now() + 30 * 86_400_000);
      await dialog.getByLabel("Required from").fill(required.toLocaleDateString("sv"));
      await dialog.getByText("1 member has no second factor, and loses access here on").waitFor();
      await dialog.getByLabel("Two people for a reset").check();
      await judge(page, "mfa-policy");
      await dialog.getByRole("button", { name: "Save" }).click();
      await page.getByText("required soon", { exact: true }).waitFor();
      const words = required.toLocaleDateString("en-US", { dateStyle: "long" });
      await page.getByText(`from ${words} at 12:00 AM`).waitFor();
      const policy = await bulwark.mfa.policy(acme);
      const days = (Date.parse(policy?.required_from ?? "") - Date.now()) / 86_400_000;
      assert.ok(days > 29 && days <= 30, String(days));
      assert.equal(policy?.reset_needs_approval, true);
      // Saved again, it keeps its date to the second.
      await page.getByRole("button", { name: "Change" }).click();
      await dialog.getByRole("button", { name: "Save" }).click();
      await dialog.waitFor({ state: "detached" });
      assert.equal((await bulwark.mfa.policy(acme))?.required_from, policy?.required_from);

      await page.locator(`[data-member="${mia.email}"]`).getByText("yes").waitFor();
      assert.equal(await page.locator("[data-member]").count(), 4);
      await page.getByLabel("Which members").selectOption("missing");
      await holds(page, "document.querySelectorAll('[data-member]').length === 1");
      assert.match(page.url(), /state=missing/);
      const row = page.locator(`[data-member="${pat.email}"]`);
      const link = await row.getByRole("link").getAttribute("href");
      assert.match(link ?? "", new RegExp(`^mailto:${encodeURIComponent(pat.email)}`));
      await page.getByLabel("Which members").selectOption("");
      await press(page, `Reset the second factors of ${mia.email}`);
      await dialog.getByLabel("Reason").fill("The phone fell into a lake");
      await dialog.getByRole("button", { name: "Reset" }).click();
      await page.locator(`[data-reset="${mia.id}"]`).waitFor();
      await page.getByText("Somebody else has to approve it").waitFor();
      assert.equal(await page.getByRole("button", { name: /^Approve/ }).count(), 0);
      await judge(page, "mfa");
      assert.deepEqual(faults, []);
      await page.context().close();

      // The member is told, and may only cancel it.
      const own = await openConsoleAs(chromium, mia, "/account");
      await own.page.getByText("Somebody asked to reset your second factors").waitFor();
      await own.page.getByRole("button", { name: "Cancel the reset of you" }).waitFor();
      assert.equal(await own.page.getByRole("button", { name: /^Approve/ }).count(), 0);
      await own.page.getByText("A factor was added").waitFor();
      await judge(own.page, "account-reset");
      assert.deepEqual(own.faults, []);
      await own.page.context().close();

      const second = await openConsoleAs(chromium, lea, "/account");
      await second.page.getByRole("region", { name: "Resets that wait for you" }).waitFor();
      await judge(second.page, "account-approval");
      await second.page.getByRole("button", { name: `Approve the reset of ${mia.email}` }).click();
      await second.page.locator("[data-reset]").waitFor({ state: "detached" });
      const { data: after } = await createBulwark(supabaseWith(mia.token)).mfa.status();
      assert.equal(after?.enrolled, false);
      assert.deepEqual(second.faults, []);
      await second.page.context().close();

      // A viewer is refused, and somebody from outside sees nothing.
      const viewer = await openConsoleAs(chromium, pat, `/o/${slug}/mfa`);
      await viewer.page.getByText("This is not open to you").waitFor();
      assert.equal(await viewer.page.getByRole("link", { name: "MFA" }).count(), 0);
      // Once it is required, a member without one is told how to get in.
      await bulwark.mfa.setPolicy(acme, {
        required: true,
        grace_period: "0",
        reset_needs_approval: true,
      });
      await viewer.page.goto(`${url}/#/o/${slug}/members`);
      await viewer.page.reload();
      await viewer.page.getByRole("link", { name: "Add one in My security" }).waitFor();
      await judge(viewer.page, "mfa-required");
      assert.deepEqual(viewer.faults, []);
      await viewer.page.context().close();
      const stranger = await openConsoleAs(chromium, bob, `/o/${slug}/mfa`);
      await stranger.page.getByRole("heading", { name: "There is nothing here" }).waitFor();
      await stranger.page.context().close();
    } finally {
      await chromium.close();
    }
  },
});
