/** Security events in Chromium: found, assigned and resolved by those who may, and by nobody else. */
import assert from "node:assert/strict";
import { createBulwark, supabaseWith } from "../client/support.ts";
import { browser } from "../foundation/browser.ts";
import { launch } from "../foundation/page.ts";
import { createOrganization, join, liftLimits, ok, service, signUp, url } from "../support.ts";
import { holds, judge, openConsoleAs } from "./support.ts";

Deno.test({
  name: "CONSOLE-E22: security events are found, assigned and resolved with a note" +
    (browser ? "" : " (needs Chromium; Debian: chromium)"),
  ignore: browser === null,
  async fn() {
    await liftLimits();
    const [ada, lea, mia, bob] = [
      await signUp("ada"),
      await signUp("lea"),
      await signUp("mia"),
      await signUp("bob"),
    ];
    const [acme, globex] = [await createOrganization(ada), await createOrganization(bob)];
    await join(ada, acme, lea, "admin");
    await join(ada, acme, mia, "viewer");
    const raise = async (event: Record<string, unknown>) =>
      ok(await service().rpc("report_security_event", event as never)) as string;
    const guessed = await raise({
      event_type: "brute_force",
      organization_id: acme,
      user_id: mia.id,
      details: { tries: 31 },
    });
    await raise({
      event_type: "key_from_new_network",
      organization_id: acme,
      subject: "198.51.100.0/24",
    });
    await raise({ event_type: "breach_attempt", organization_id: acme, subject: "an import" });
    const foreign = await raise({ event_type: "breach_attempt", organization_id: globex });
    const bulwark = createBulwark(supabaseWith(ada.token), { throwOnError: true });
    const { slug } = (await bulwark.organizations.get(acme))!;
    const find = async (id: string) =>
      (await bulwark.security.list(acme, { include_resolved: true })).find((one) => one.id === id);
    // The first request builds the console.
    await (await fetch(url)).body?.cancel();
    const chromium = await launch();
    try {
      const { page, faults } = await openConsoleAs(chromium, ada, `/o/${slug}/events`);
      const rows = page.locator("[data-event]");
      const drawer = page.getByRole("dialog").first();
      await page.locator("[data-open-events='3']").waitFor();
      assert.equal(await rows.count(), 3);
      await judge(page, "events");
      await page.getByLabel("Severity").selectOption("critical");
      await holds(page, "document.querySelectorAll('[data-event]').length === 1");
      assert.match(page.url(), /severity=critical/);
      await page.reload();
      await holds(page, "document.querySelectorAll('[data-event]').length === 1");
      await page.getByLabel("Severity").selectOption("");
      await page.getByLabel("Assignee").selectOption({ label: "Mine" });
      await page.getByText("No event matches").waitFor();
      await page.getByLabel("Assignee").selectOption("");

      await page.getByRole("button", { name: "Brute force" }).click();
      await drawer.getByText("One account was tried too often").waitFor();
      await drawer.locator("option", { hasText: lea.email }).waitFor({ state: "attached" });
      assert.equal(
        await drawer.locator("option", { hasText: mia.email }).count(),
        0,
        "only those who may read it can be chosen",
      );
      await drawer.getByLabel("Assigned to").selectOption({ label: "Me" });
      await rows.filter({ hasText: ada.email }).waitFor({ state: "attached" });
      assert.equal((await find(guessed))?.assigned_to, ada.id);
      await judge(page, "event");
      await page.keyboard.press("Escape");
      await page.getByLabel("Status").selectOption("assigned");
      await holds(page, "document.querySelectorAll('[data-event]').length === 1");
      await page.getByRole("button", { name: "Brute force" }).click();
      await drawer.getByRole("button", { name: "Resolve" }).click();
      const question = page.getByRole("dialog", { name: /^Resolve/ });
      await question.getByLabel("Note").fill("  ");
      await question.getByRole("button", { name: "Resolve" }).click();
      await question.locator("[data-code=SECURITY_INVALID_NOTE]").waitFor();
      await question.getByLabel("Note").fill("A lost phone; confirmed by a call");
      await judge(page, "resolve");
      await question.getByRole("button", { name: "Resolve" }).click();
      await page.locator("[data-open-events='2']").waitFor();
      assert.equal((await find(guessed))?.resolution_note, "A lost phone; confirmed by a call");
      await page.getByText("No event matches").waitFor();
      await page.getByLabel("Status").selectOption("resolved");
      await holds(page, "document.querySelectorAll('[data-event]').length === 1");
      await page.getByLabel("Status").selectOption("all");
      await holds(page, "document.querySelectorAll('[data-event]').length === 3");
      await page.getByRole("button", { name: "Brute force" }).click();
      await drawer.getByText("A lost phone; confirmed by a call").waitFor();
      assert.equal(await drawer.getByRole("button", { name: "Resolve" }).count(), 0);
      await drawer.getByRole("link", { name: "Its history" }).click();
      await holds(page, "document.querySelectorAll('[data-entry]').length >= 2");
      assert.match(page.url(), new RegExp(`resource=.*${guessed}`));
      assert.deepEqual(faults, []);
      await page.context().close();

      // A viewer is refused; a reader of events is not offered to handle them.
      const viewer = await openConsoleAs(chromium, mia, `/o/${slug}/events`);
      await viewer.page.getByText("This is not open to you").waitFor();
      assert.equal(await viewer.page.getByRole("link", { name: /^Security events/ }).count(), 0);
      await bulwark.roles.create(acme, { name: "watcher", permissions: ["security:read"] });
      await bulwark.members.setRoles(acme, mia.id, ["viewer", "watcher"]);
      await viewer.page.reload();
      await viewer.page.getByRole("button", { name: "Breach attempt" }).click();
      await viewer.page.getByRole("dialog").getByText("nobody").waitFor();
      assert.equal(await viewer.page.getByRole("button", { name: "Resolve" }).count(), 0);
      assert.equal(await viewer.page.getByLabel("Assigned to").count(), 0);
      assert.equal(await viewer.page.getByRole("link", { name: "Its history" }).count(), 0);
      assert.deepEqual(viewer.faults, []);
      await viewer.page.context().close();

      const stranger = await openConsoleAs(chromium, bob, `/o/${slug}/events`);
      await stranger.page.getByRole("heading", { name: "There is nothing here" }).waitFor();
      const other = (await createBulwark(supabaseWith(bob.token), { throwOnError: true })
        .organizations.get(globex))!;
      await stranger.page.goto(`${url}/#/o/${other.slug}/events?event=${foreign}`);
      await stranger.page.getByRole("dialog", { name: "Breach attempt" }).waitFor();
      assert.equal(await stranger.page.locator("[data-event]").count(), 1);
      assert.deepEqual(stranger.faults, []);
      await stranger.page.context().close();
    } finally {
      await chromium.close();
    }
  },
});
