/** The landing of an organization in Chromium: what needs somebody, and that all is well. */
import assert from "node:assert/strict";
import { codeOf } from "../client/steps.ts";
import { createBulwark, supabaseWith } from "../client/support.ts";
import { browser } from "../foundation/browser.ts";
import { launch } from "../foundation/page.ts";
import {
  callFunction,
  connect,
  createOrganization,
  join,
  liftLimits,
  schedulerSecret,
  signUp,
  url,
} from "../support.ts";
import { judge, openConsoleAs } from "./support.ts";

Deno.test({
  name: "CONSOLE-E10: the landing of an organization says whether everything is all right" +
    (browser ? "" : " (needs Chromium; Debian: chromium)"),
  ignore: browser === null,
  async fn() {
    await liftLimits();
    const [ada, mia, bob] = [await signUp("ada"), await signUp("mia"), await signUp("bob")];
    const acme = await createOrganization(ada);
    await createOrganization(bob);
    await join(ada, acme, mia, "viewer");
    const as = ({ token }: typeof ada) =>
      createBulwark(supabaseWith(token), { throwOnError: true });
    const { slug } = (await as(ada).organizations.get(acme))!;
    const { scopes } = await as(ada).apiKeys.options(acme);
    await as(ada).apiKeys.create(acme, {
      name: "nightly import",
      scopes: scopes.slice(0, 1).map(({ permission }) => permission),
      expires_at: new Date(Date.now() + 2 * 86_400_000).toISOString(),
    });
    await as(ada).webhooks.create({
      organization_id: acme,
      name: "Incident channel",
      url: "https://hooks.people.example/bulwark",
      subscriptions: [{ pattern: "security.*" }],
    });
    const owner = connect(1);
    await owner`select bulwark.raise_security_event('brute_force', ${acme}, ${mia.id}, 'mia')`;
    await owner`
      update bulwark.webhook_endpoint_health h set failing_since = now() - interval '2 hours'
      from bulwark.webhook_endpoints e where e.id = h.endpoint_id and e.organization_id = ${acme}`;
    await owner.end();
    // Bob's account is protected.
    const { secret } = await as(bob).mfa.enroll();
    await as(bob).mfa.activate(codeOf(secret));
    const signed = await callFunction("audit/checkpoint", {
      method: "POST",
      token: schedulerSecret,
    });
    assert.equal(signed.status, 200, await signed.text());
    // The first request builds the console.
    await (await fetch(url)).body?.cancel();
    const chromium = await launch();
    try {
      const { page, faults } = await openConsoleAs(chromium, ada, `/o/${slug}`);
      await page.locator("[data-answer=bad]").waitFor();
      const standings = await page.locator("[data-check]").evaluateAll((lines) =>
        lines.map((line) => [line.getAttribute("data-check"), line.getAttribute("data-standing")])
      );
      assert.deepEqual(standings, [
        ["Audit log", "good"],
        ["Security events", "bad"],
        ["Second factors", "look"],
        ["API keys", "look"],
        ["Webhooks", "bad"],
        ["Your account", "look"],
      ]);
      const text = await page.locator("main").innerText();
      for (
        const said of [
          "Open: 1 high.",
          "2 members have none.",
          "1 key ends within 14 days",
          "Incident channel",
          "a key that the project told",
        ]
      ) assert.ok(text.includes(said), `${said} is in: ${text}`);
      await judge(page, "overview-bad");
      await page.locator('[data-check="API keys"] a').click();
      await page.locator('[data-key="nightly import"]').waitFor();
      assert.deepEqual(faults, []);
      await page.context().close();

      const well = await openConsoleAs(chromium, bob);
      await well.page.getByRole("region", { name: "Your organizations" }).getByRole("link").click();
      await well.page.getByText("Everything is all right.").waitFor();
      await judge(well.page, "overview-good");
      // Somebody else's organization looks as one that does not exist.
      await well.page.goto(`${url}/#/o/${slug}`);
      await well.page.getByRole("heading", { name: "There is nothing here" }).waitFor();
      assert.deepEqual(well.faults, []);
      await well.page.context().close();

      // A viewer is told nothing that the role does not open.
      const viewer = await openConsoleAs(chromium, mia, `/o/${slug}`);
      await viewer.page.locator("[data-answer=look]").waitFor();
      assert.deepEqual(
        await viewer.page.locator("[data-check]").evaluateAll((lines) =>
          lines.map((line) => line.getAttribute("data-check"))
        ),
        ["Your account"],
      );
      assert.deepEqual(viewer.faults, []);
      await viewer.page.context().close();
    } finally {
      await chromium.close();
    }
  },
});
