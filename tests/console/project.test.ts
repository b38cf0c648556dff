/** Rate limits, encryption and settings in Chromium, which are for operators of the project. */
import assert from "node:assert/strict";
import { createBulwark, supabaseWith } from "../client/support.ts";
import { browser } from "../foundation/browser.ts";
import { launch } from "../foundation/page.ts";
import {
  connect,
  createOrganization,
  join,
  liftLimits,
  type Person,
  signUp,
  url,
} from "../support.ts";
import { judge, openConsoleAs, press } from "./support.ts";

const unless = browser ? "" : " (needs Chromium; Debian: chromium)";
const ignore = browser === null;
const [ada, bob, mia, root] = await Promise.all(["ada", "bob", "mia", "root"].map(signUp)) as [
  Person,
  Person,
  Person,
  Person,
];
const clientOf = ({ token }: Person) => createBulwark(supabaseWith(token), { throwOnError: true });
const chromium = browser ? await launch() : null;
let acme: string;
let slug: string;

Deno.test.beforeAll(async () => {
  await liftLimits();
  acme = await createOrganization(ada);
  await join(ada, acme, mia, "viewer");
  const owner = connect(1);
  await owner`select bulwark.grant_role(${root.id}, 'super_admin')`;
  await owner`insert into bulwark.rate_limit_blocks (kind, identifier, rule, step, expires_at)
    values ('address', gen_random_uuid(), 'api_strict', 2, now() + interval '1 hour'),
      ('pair', gen_random_uuid(), 'auth_login', 1, now() - interval '1 hour')`;
  await owner.end();
  ({ slug } = (await clientOf(ada).organizations.get(acme))!);
  // The first request builds the console.
  await (await fetch(url)).body?.cancel();
});
Deno.test.afterAll(() => chromium?.close());

Deno.test({
  name: "CONSOLE-O02: an operator changes limits, lifts a block and lists a network" + unless,
  ignore,
  async fn() {
    const { page, faults } = await openConsoleAs(chromium!, root, "/project/rate-limits");
    const dialog = page.getByRole("dialog");
    await page.getByRole("button", { name: "Change export" }).click();
    await dialog.getByLabel("Calls").fill("20");
    await dialog.getByLabel("In seconds").fill("7200");
    await dialog.getByRole("button", { name: "Save" }).click();
    await page.locator("[data-rule=export]").getByText("20 in 2 hours").waitFor();
    await judge(page, "limits-rules");
    await page.getByRole("link", { name: "Overrides" }).click();
    await page.getByText("No override").waitFor();
    await page.getByRole("button", { name: "New override" }).click();
    await dialog.locator("select[name=rule]").selectOption("export");
    await dialog.locator("select[name=owner]").selectOption(acme);
    await dialog.getByLabel("Calls").fill("100");
    await dialog.getByLabel("In seconds").fill("3600");
    await judge(page, "new-override");
    await dialog.getByRole("button", { name: "Save" }).click();
    const override = page.locator(`[data-override="${slug}"]`);
    await override.getByText("100 an hour").waitFor();
    await judge(page, "limits-overrides");
    const { rules } = await clientOf(ada).limits.usage(acme);
    assert.equal(rules.find(({ name }) => name === "export")?.capacity, 100);
    await press(page, `Remove export for ${slug}`);
    await dialog.getByRole("button", { name: "Remove" }).click();
    await override.waitFor({ state: "detached" });

    await page.getByRole("link", { name: "Blocks" }).click();
    await page.getByLabel("With those that ended").check();
    await page.locator("[data-block]").nth(1).waitFor();
    await judge(page, "limits-blocks");
    await page.getByRole("button", { name: /^Lift/ }).click();
    await dialog.getByRole("button", { name: "Lift" }).click();
    await page.getByText("lifted", { exact: true }).waitFor();
    await page.getByLabel("With those that ended").uncheck();
    await page.getByText("A caller over a limit waits").waitFor();

    // Blocks are made by the limits; an address of one's choice is listed.
    await page.getByText("To block an address yourself").getByRole("link").click();
    await page.getByRole("button", { name: "List a network" }).click();
    await dialog.getByLabel("Network").fill("everywhere");
    await dialog.getByLabel("Reason").fill("An attack on 3 May");
    await dialog.getByRole("button", { name: "List", exact: true }).click();
    await dialog.locator("[data-code=RATE_LIMIT_INVALID_NETWORK]").waitFor();
    await dialog.getByLabel("Network").fill("198.51.100.0/24");
    await dialog.getByRole("button", { name: "List", exact: true }).click();
    await page.locator("[data-network='198.51.100.0/24']").getByText("blocked").waitFor();
    await judge(page, "limits-networks");
    await page.getByRole("button", { name: "Remove 198.51.100.0/24" }).click();
    await dialog.getByRole("button", { name: "Remove" }).click();
    await page.getByText("No network is listed").waitFor();

    // A member of no organization reads where the system-wide permissions count.
    await page.getByRole("button", { name: "Organization: No organization" }).click();
    await page.getByRole("menuitem", { name: "All organizations" }).click();
    await page.getByText("Your system-wide permissions count in each organization").waitFor();
    assert.deepEqual(faults, []);
    await page.context().close();
  },
});

Deno.test({
  name: "CONSOLE-O03: keys are rotated, by an operator or an organization's administrator" + unless,
  ignore,
  async fn() {
    await clientOf(ada).encryption.rotate(acme);
    const own = await openConsoleAs(chromium!, ada, `/o/${slug}/encryption`);
    const dialog = own.page.getByRole("dialog");
    await own.page.getByRole("button", { name: "Rotate the key for fields" }).click();
    await dialog.getByRole("button", { name: "Rotate" }).click();
    await own.page.locator("[data-version='field 3'], [data-version='field 2']").first().waitFor();
    await own.page.getByText("superseded", { exact: true }).first().waitFor();
    await judge(own.page, "encryption-organization");
    assert.deepEqual(own.faults, []);
    await own.page.context().close();

    const { page, faults } = await openConsoleAs(chromium!, root, "/project/encryption");
    await page.locator("[data-kek]").getByText("in use").waitFor();
    await page.getByLabel("Whose data keys").selectOption(acme);
    await page.getByText("superseded", { exact: true }).first().waitFor();
    assert.ok(page.url().includes(acme));
    await judge(page, "encryption");
    assert.deepEqual(faults, []);
    await page.context().close();
  },
});

Deno.test({
  name: "CONSOLE-O04: a setting says what it means and who changed it; health says what to do" +
    unless,
  ignore,
  async fn() {
    const { page, faults } = await openConsoleAs(chromium!, root, "/project/settings");
    const dialog = page.getByRole("dialog");
    const setting = page.locator("[data-setting='compliance.review_reminder_days']");
    await setting.getByText("7", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Change compliance.review_reminder_days" }).click();
    await dialog.getByLabel("Value").fill("a week");
    await dialog.getByRole("button", { name: "Save" }).click();
    await dialog.locator("[data-code=SETTING_INVALID_VALUE]").waitFor();
    assert.equal(await dialog.getByLabel("Value").inputValue(), "a week");
    await dialog.getByLabel("Value").fill("14");
    await judge(page, "change-setting");
    await dialog.getByRole("button", { name: "Save" }).click();
    await setting.getByText(`by ${root.email}, was 7`).waitFor();
    await setting.getByText("14", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Change rate_limits.block_minutes" }).click();
    await dialog.getByLabel("Value").fill("1, 2");
    await dialog.getByRole("button", { name: "Save" }).click();
    await page.locator("[data-setting='rate_limits.block_minutes']").getByText("1, 2", {
      exact: true,
    }).waitFor();
    await page.getByRole("searchbox").fill("review");
    await page.locator("[data-setting='rate_limits.block_minutes']").waitFor({ state: "detached" });
    await judge(page, "settings");
    await page.getByRole("link", { name: "Health", exact: true }).click();
    await page.locator("[data-check=verification][data-good=true]").waitFor();
    await judge(page, "health");
    assert.deepEqual(faults, []);
    await page.context().close();
  },
});

Deno.test({
  name: "CONSOLE-O05: neither a viewer nor an administrator of an organization sees the project" +
    unless,
  ignore,
  async fn() {
    for (const person of [ada, mia]) {
      const { page, faults } = await openConsoleAs(chromium!, person, "/project/settings");
      for (const path of ["settings", "rate-limits", "encryption"]) {
        await page.goto(`${url}/#/project/${path}`);
        await page.getByText("This is not open to you").waitFor();
      }
      for (const name of ["Settings and health", "Rate limits", "Metrics"]) {
        assert.equal(await page.getByRole("link", { name }).count(), 0, name);
      }
      assert.equal(await page.getByRole("link", { name: "Encryption" }).count(), +(person === ada));
      if (person === mia) {
        await page.goto(`${url}/#/o/${slug}/encryption`);
        await page.getByText("This is not open to you").waitFor();
      }
      assert.deepEqual(faults, []);
      await page.context().close();
    }
    // The administrator of another organization has keys of their own alone.
    const globex = (await clientOf(bob).organizations.get(await createOrganization(bob)))!;
    await clientOf(ada).encryption.rotate(acme);
    const { page, faults } = await openConsoleAs(chromium!, bob, `/o/${slug}/encryption`);
    await page.getByRole("heading", { name: "There is nothing here" }).waitFor();
    await page.goto(`${url}/#/o/${globex.slug}/encryption`);
    await page.getByText("No data key yet").waitFor();
    await page.goto(`${url}/#/project/encryption?organization=${acme}`);
    await page.getByText("This is not open to you").waitFor();
    assert.deepEqual(faults, []);
    await page.context().close();
  },
});
