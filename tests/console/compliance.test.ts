/** Compliance in Chromium: reports, access reviews, legal holds, and people's data. */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
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
import { judge, openConsoleAs } from "./support.ts";

const unless = browser ? "" : " (needs Chromium; Debian: chromium)";
const ignore = browser === null;
const [ada, mia, rex, root, bob] = await Promise.all(
  ["ada", "mia", "rex", "root", "bob"].map(signUp),
) as [Person, Person, Person, Person, Person];
const clientOf = ({ token }: Person) => createBulwark(supabaseWith(token), { throwOnError: true });
const chromium = browser ? await launch() : null;
let acme: string;
let slug: string;

Deno.test.beforeAll(async () => {
  await liftLimits();
  acme = await createOrganization(ada);
  await createOrganization(bob);
  for (const [person, role] of [[mia, "viewer"], [rex, "analyst"], [root, "admin"]] as const) {
    await join(ada, acme, person, role);
  }
  const owner = connect(1);
  await owner`select bulwark.grant_role(${root.id}, 'super_admin')`;
  await owner.end();
  ({ slug } = (await clientOf(ada).organizations.get(acme))!);
  // The first request builds the console.
  await (await fetch(url)).body?.cancel();
});
Deno.test.afterAll(() => chromium?.close());

async function downloaded(page: Page, button: string): Promise<string> {
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: button, exact: true }).click(),
  ]);
  return await Deno.readTextFile(await download.path());
}

Deno.test({
  name: "CONSOLE-C01: an administrator makes a signed report, and reviews access" + unless,
  ignore,
  async fn() {
    const { page, faults } = await openConsoleAs(chromium!, ada, `/o/${slug}/compliance`);
    await page.getByRole("button", { name: "Make report" }).click();
    const entry = await page.locator("[data-report]").getAttribute("data-report");
    await page.getByText("intact", { exact: true }).waitFor();
    await judge(page, "compliance-report");
    const [line = "", statement = ""] = (await downloaded(page, "Signed JSON")).split("\n");
    assert.equal(JSON.parse(line).entry, entry);
    assert.match(JSON.parse(statement).note, /^bulwark compliance report 1\n/);
    const html = await downloaded(page, "Page");
    assert.ok(html.includes(entry!) && html.includes(mia.email));
    assert.equal(await page.getByRole("link", { name: "Data about people" }).count(), 0);
    await page.getByText("a super_admin exports or erases that of others").waitFor();
    await page.getByText("once they are members of this organization").waitFor();

    await page.getByRole("link", { name: "Legal holds" }).click();
    await page.getByText("No legal hold").waitFor();
    assert.equal(await page.getByRole("button", { name: "Place a hold" }).count(), 0);
    await page.getByRole("link", { name: "Access reviews" }).click();
    await page.getByText("No access review").waitFor();
    await judge(page, "reviews-empty");
    await page.getByRole("button", { name: "Start a review" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Name").fill("Third quarter");
    await dialog.getByLabel("Due").fill("2020-01-31");
    await dialog.getByRole("checkbox", { name: ada.email }).check();
    await judge(page, "start-review");
    await dialog.getByRole("button", { name: "Start" }).click();
    await dialog.locator("[data-code=COMPLIANCE_INVALID_REVIEW]").waitFor();
    assert.equal(await dialog.getByLabel("Name").inputValue(), "Third quarter");
    const soon = new Date(Date.now() + 7 * 86_400_000).toISOString().slice(0, 10);
    await dialog.getByLabel("Due").fill(soon);
    await dialog.getByRole("button", { name: "Start" }).click();
    await page.getByRole("link", { name: "Third quarter" }).click();
    const rows = page.locator("[data-access]");
    await rows.nth(3).waitFor();
    await page.locator(`[data-access="${ada.email}"]`).getByText("somebody else decides").waitFor();
    await page.getByRole("button", { name: `Keep ${mia.email}` }).click();
    await page.locator(`[data-access="${mia.email}"]`).getByText("kept").waitFor();
    await page.getByRole("button", { name: `End ${rex.email}` }).click();
    await dialog.getByLabel("Note").fill("Left the project");
    await dialog.getByRole("button", { name: "End access" }).click();
    await page.getByText("Left the project").waitFor();
    await judge(page, "review");
    await page.getByLabel("Only those without a decision").check();
    await rows.nth(2).waitFor({ state: "detached" });
    assert.match(page.url(), /undecided=true/);
    const members = await clientOf(ada).members.list(acme);
    assert.equal(members.some(({ user_id }) => user_id === rex.id), false);
    await page.getByRole("button", { name: "Close the review" }).click();
    await dialog.getByRole("button", { name: "Close for good" }).click();
    await page.getByText("1 kept, 1 ended, 0 gone before, 2 without").waitFor();
    await page.getByRole("button", { name: /^(Keep|End)/ }).first().waitFor({ state: "detached" });
    assert.deepEqual(faults, []);
    await page.context().close();
  },
});

Deno.test({
  name: "CONSOLE-C02: a super_admin holds evidence, exports a person and erases them" + unless,
  ignore,
  async fn() {
    const path = `/o/${slug}/compliance?part=holds`;
    const { page, faults } = await openConsoleAs(chromium!, root, path);
    const dialog = page.getByRole("dialog");
    await page.getByRole("button", { name: "Place a hold" }).click();
    await dialog.getByLabel("Reason").fill("Case 14");
    await dialog.getByLabel("Keeps").selectOption("person");
    await dialog.getByRole("radio", { name: mia.email }).check();
    await judge(page, "place-hold");
    await dialog.getByRole("button", { name: "Place" }).click();
    await page.getByText(`entries of ${mia.email}`).waitFor();
    await judge(page, "holds");

    await page.getByRole("link", { name: "Data about people" }).click();
    await page.getByRole("radio", { name: mia.email }).check();
    const file = await downloaded(page, "Save as a file");
    assert.ok(file.trimEnd().split("\n").every((line) => JSON.parse(line).source));
    assert.ok(file.includes(mia.email));
    const erase = async () => {
      await page.getByRole("button", { name: "Erase", exact: true }).click();
      await dialog.getByLabel("Reason").fill("Art. 17");
      await dialog.getByLabel(`Type ${mia.email}`).fill(mia.email);
      await dialog.getByRole("button", { name: "Erase for good" }).click();
    };
    await erase();
    await dialog.locator("[data-code=AUDIT_LEGAL_HOLD]").waitFor();
    await judge(page, "erase");
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("link", { name: "Legal holds" }).click();
    await page.getByRole("button", { name: "Release Case 14" }).click();
    await dialog.getByRole("button", { name: "Release" }).click();
    await page.getByText("released", { exact: true }).waitFor();

    await page.getByRole("link", { name: "Data about people" }).click();
    await page.getByRole("radio", { name: mia.email }).check();
    await page.getByRole("button", { name: "Erase", exact: true }).click();
    await dialog.getByLabel("Reason").fill("Art. 17");
    await dialog.getByLabel(`Type ${mia.email}`).fill(ada.email);
    await dialog.getByRole("button", { name: "Erase for good" }).click();
    assert.equal(await dialog.isVisible(), true, "another name erases nobody");
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await erase();
    const removed = await page.locator("[data-erased]").getAttribute("data-erased");
    assert.ok(Number(removed) > 0);
    await judge(page, "people");
    assert.deepEqual(faults, []);
    await page.context().close();
  },
});

Deno.test({
  name: "CONSOLE-C03: a viewer and another organization see nothing of it" + unless,
  ignore,
  async fn() {
    const viewer = await openConsoleAs(chromium!, mia, `/o/${slug}/compliance`);
    await viewer.page.getByText("This is not open to you").waitFor();
    assert.equal(await viewer.page.getByRole("link", { name: "Compliance" }).count(), 0);
    const [review] = await clientOf(ada).reviews.list(acme);
    await viewer.page.goto(`${url}/#/o/${slug}/reviews/${review!.id}`);
    await viewer.page.locator("[data-code=COMPLIANCE_UNKNOWN_REVIEW]").waitFor();
    assert.deepEqual(viewer.faults, []);
    await viewer.page.context().close();

    // In the address of another organization of the same person there is no such review.
    const initech = await clientOf(ada).organizations.get(await createOrganization(ada));
    const wrong = await openConsoleAs(chromium!, ada, `/o/${initech!.slug}/reviews/${review!.id}`);
    await wrong.page.getByRole("heading", { name: "There is nothing here" }).waitFor();
    assert.equal(await wrong.page.locator("[data-access]").count(), 0);
    assert.deepEqual(wrong.faults, []);
    await wrong.page.context().close();

    const [globex] = await clientOf(bob).organizations.list();
    const other = await openConsoleAs(chromium!, bob, `/o/${globex!.slug}/compliance?part=holds`);
    await other.page.getByText("No legal hold").waitFor();
    await other.page.goto(`${url}/#/o/${slug}/compliance`);
    await other.page.getByRole("heading", { name: "There is nothing here" }).waitFor();
    assert.deepEqual(other.faults, []);
    await other.page.context().close();
  },
});
