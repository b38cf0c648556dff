/** Webhooks in Chromium: endpoints, deliveries and their attempts, replays, and who is offered them. */
import assert from "node:assert/strict";
import { createBulwark, supabaseWith } from "../client/support.ts";
import { browser } from "../foundation/browser.ts";
import { launch } from "../foundation/page.ts";
import { connect, createOrganization, join, liftLimits, signUp, url } from "../support.ts";
import { cause, receive, until, verified } from "../webhooks/support.ts";
import { judge, openConsoleAs } from "./support.ts";

Deno.test({
  name: "CONSOLE-E21: webhooks are added, tested, replayed, rotated, disabled and deleted" +
    (browser ? "" : " (needs Chromium; Debian: chromium)"),
  ignore: browser === null,
  async fn() {
    await liftLimits();
    const [ada, mia, bob] = [await signUp("ada"), await signUp("mia"), await signUp("bob")];
    const [acme, globex] = [await createOrganization(ada), await createOrganization(bob)];
    await join(ada, acme, mia, "viewer");
    const bulwark = createBulwark(supabaseWith(ada.token), { throwOnError: true });
    const { slug } = (await bulwark.organizations.get(acme))!;
    let works = true;
    await using receiver = receive(() =>
      works ? new Response("thank you") : new Response("come back later", { status: 503 })
    );
    // The first request builds the console.
    await (await fetch(url)).body?.cancel();
    const chromium = await launch();
    const owner = connect(1);
    try {
      const { page, faults } = await openConsoleAs(chromium, ada, `/o/${slug}/webhooks`);
      const dialog = page.getByRole("dialog");
      await page.getByText("No endpoint").waitFor();
      await judge(page, "webhooks-empty");
      await page.getByRole("button", { name: "Add endpoint" }).click();
      await dialog.getByLabel("Name").fill("On call");
      await dialog.getByLabel("Address").fill("https://169.254.169.254/");
      await dialog.getByLabel("Event 1", { exact: true }).fill("audit.data.read");
      await dialog.getByRole("button", { name: "Add events" }).click();
      await dialog.getByLabel("Event 2", { exact: true }).fill("security.*");
      await dialog.getByLabel("From severity, event 2").selectOption("error");
      await dialog.getByRole("button", { name: "Add", exact: true }).click();
      await dialog.locator("[data-code=WEBHOOK_URL_NOT_ALLOWED]").waitFor();
      assert.equal(await dialog.getByLabel("Name").inputValue(), "On call");
      await judge(page, "new-endpoint");
      await dialog.getByLabel("Address").fill(receiver.url);
      await dialog.getByRole("button", { name: "Add", exact: true }).click();
      const issued = page.locator("[data-issued]");
      await issued.waitFor();
      const secret = (await issued.innerText()).match(/whsec_\S+/)?.[0]?.replace(/:$/, "") ?? "";
      const [made] = await bulwark.webhooks.list(acme);
      const id = made!.id;
      assert.deepEqual(
        (await bulwark.webhooks.subscriptions(id)).map((one) => [one.pattern, one.minimum_severity])
          .sort(),
        [["audit.data.read", "debug"], ["security.*", "error"]],
      );
      await page.getByRole("button", { name: "I have kept it" }).click();
      assert.equal(await issued.count(), 0, "a secret is shown once");

      await page.getByRole("link", { name: "On call" }).click();
      await page.getByText("Nothing was sent yet").waitFor();
      await page.getByRole("button", { name: "Send a test event" }).click();
      // Either the call itself delivers it, or a worker that was faster.
      await page.getByText("The test event").waitFor();
      await receiver.until(({ length }) => length === 1);
      assert.equal((await verified(receiver.received[0]!, secret))["type"], "webhook.test");
      await page.locator("[data-delivery=delivered]").waitFor();

      // A receiver that fails, until the delivery is given up.
      works = false;
      await cause(acme, 1);
      await until(async () =>
        (await bulwark.webhooks.deliveries(id, { statuses: ["pending"] }))
          .some(({ attempts }) => attempts > 0)
      );
      const giveUp = () =>
        owner`update bulwark.webhook_deliveries set status = 'dead', finished_at = now(), attempt_id = null
          where endpoint_id = ${id} and source = 'audit'`;
      await page.locator("[data-delivery=pending]").getByText(/^(Next try|Is tried now)/).first()
        .waitFor();
      const again = page.getByRole("button", { name: "Send given-up ones again" });
      assert.ok(await again.isDisabled(), "there is none yet");
      await giveUp();
      await page.reload();
      await page.getByText(/failing$/).waitFor();
      await page.getByLabel("Status").selectOption("dead");
      await page.locator("[data-delivery=delivered]").waitFor({ state: "detached" });
      await judge(page, "endpoint");
      const dead = page.locator("[data-delivery=dead]");
      await dead.getByRole("link", { name: "Audit entry" }).waitFor();
      await page.getByRole("button", { name: "audit.data.read", exact: true }).click();
      await dialog.locator("[data-attempt=rejected]").first().waitFor();
      await dialog.getByText("come back later").first().waitFor();
      await dialog.getByRole("button", { name: "Show the content" }).click();
      await dialog.getByRole("heading", { name: "Content" }).waitFor();
      await judge(page, "delivery");
      await dialog.getByRole("link", { name: "Audit entry" }).click();
      await dialog.getByRole("heading", { name: "data.read", exact: true }).waitFor();
      await page.goBack();
      works = true;
      const before = receiver.received.length;
      await dialog.getByRole("button", { name: "Send again: audit.data.read" }).click();
      await receiver.until(({ length }) => length > before);
      await page.keyboard.press("Escape");
      await until(async () =>
        (await bulwark.webhooks.deliveries(id)).every(({ status }) => status === "delivered")
      );
      // The delivery has left the list of this status, and its drawer with it.
      await page.getByLabel("Status").selectOption("");
      await giveUp();
      await again.click();
      await dialog.getByRole("button", { name: "Send again" }).click();
      await page.getByText("Sent again: 1").waitFor();
      await receiver.until(({ length }) => length > before + 1);
      const ids = receiver.received.slice(before - 1).map((one) => one.id);
      assert.equal(new Set(ids).size, 1, "each time under the same id");

      await page.getByRole("button", { name: "Rotate secret" }).click();
      await dialog.getByLabel("The old secret signs, too").selectOption("0");
      await judge(page, "rotate-secret");
      await dialog.getByRole("button", { name: "Rotate" }).click();
      await issued.waitFor();
      assert.equal((await issued.innerText()).includes(secret), false);
      await page.getByRole("button", { name: "I have kept it" }).click();
      await page.getByRole("button", { name: "Edit" }).click();
      await dialog.getByLabel("Name").fill("Night watch");
      await dialog.getByRole("button", { name: "Remove event 2" }).click();
      await dialog.getByRole("button", { name: "Save" }).click();
      await page.getByRole("heading", { name: "Night watch" }).waitFor();
      assert.equal((await bulwark.webhooks.subscriptions(id)).length, 1);
      await page.getByRole("button", { name: "Disable" }).click();
      await dialog.getByRole("button", { name: "Disable" }).click();
      await page.getByText(/disabled$/).waitFor();
      assert.equal((await bulwark.webhooks.get(id))?.disabled_reason, "manual");
      await page.getByRole("button", { name: "Enable" }).click();
      await page.getByText(/nothing arrived$/).waitFor();
      await page.getByRole("link", { name: "Webhooks" }).first().click();
      await page.locator("[data-endpoint='Night watch']").waitFor();
      await judge(page, "webhooks");
      await page.getByRole("link", { name: "Night watch" }).click();
      await page.getByRole("button", { name: "Delete" }).click();
      await dialog.getByRole("button", { name: "Delete" }).click();
      await page.getByText("No endpoint").waitFor();
      assert.deepEqual(await bulwark.webhooks.list(acme), []);
      assert.deepEqual(faults, []);
      await page.context().close();

      const kept = await bulwark.webhooks.create({
        organization_id: acme,
        name: "Kept",
        url: receiver.url,
        subscriptions: [{ pattern: "audit.*" }],
      });
      // A reader of webhooks is offered no change of them; a viewer sees none.
      await bulwark.roles.create(acme, { name: "observer", permissions: ["webhook:read"] });
      const viewer = await openConsoleAs(chromium, mia, `/o/${slug}/webhooks`);
      await viewer.page.getByText("This is not open to you").waitFor();
      assert.equal(await viewer.page.getByRole("link", { name: "Webhooks" }).count(), 0);
      await bulwark.members.setRoles(acme, mia.id, ["viewer", "observer"]);
      await viewer.page.goto(`${url}/#/o/${slug}/webhooks/${kept.id}`);
      await viewer.page.reload();
      await viewer.page.getByRole("heading", { name: "Kept" }).waitFor();
      await viewer.page.getByText("Nothing was sent yet").waitFor();
      for (const name of [/^Send/, /^Edit/, /^Move/, /^Rotate/, /^Disable/, /^Delete/]) {
        assert.equal(await viewer.page.getByRole("button", { name }).count(), 0, String(name));
      }
      assert.deepEqual(viewer.faults, []);
      await viewer.page.context().close();

      // Somebody else's endpoint looks as one that does not exist, in any organization's address.
      const other = (await createBulwark(supabaseWith(bob.token), { throwOnError: true })
        .organizations.get(globex))!;
      const stranger = await openConsoleAs(chromium, bob, `/o/${other.slug}/webhooks/${kept.id}`);
      await stranger.page.getByRole("heading", { name: "There is nothing here" }).waitFor();
      await stranger.page.goto(`${url}/#/o/${slug}/webhooks`);
      await stranger.page.getByRole("heading", { name: "There is nothing here" }).waitFor();
      assert.deepEqual(stranger.faults, []);
      await stranger.page.context().close();
    } finally {
      await owner.end();
      await chromium.close();
    }
  },
});
