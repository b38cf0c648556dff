/** Members, invitations and roles in Chromium: what administrators do, and what others are not offered. */
import assert from "node:assert/strict";
import { createBulwark, supabaseWith } from "../client/support.ts";
import { browser } from "../foundation/browser.ts";
import { launch } from "../foundation/page.ts";
import { createOrganization, join, liftLimits, signUp, url } from "../support.ts";
import { holds, judge, openConsole, press, signIn } from "./support.ts";

Deno.test({
  name: "CONSOLE-E08: members, invitations and roles: what one may not do is not offered" +
    (browser ? "" : " (needs Chromium; Debian: chromium)"),
  ignore: browser === null,
  async fn() {
    await liftLimits();
    const [ada, mia, bob] = [await signUp("ada"), await signUp("mia"), await signUp("bob")];
    const [acme, globex] = [await createOrganization(ada), await createOrganization(bob)];
    await join(ada, acme, mia, "viewer");
    const bulwark = createBulwark(supabaseWith(ada.token), { throwOnError: true });
    const { slug } = (await bulwark.organizations.get(acme))!;
    const rolesOf = async (id: string) =>
      (await bulwark.members.list(acme)).find(({ user_id }) => user_id === id)?.roles
        .map(({ role }) => role).sort() ?? [];
    // The first request builds the console.
    await (await fetch(url)).body?.cancel();
    const chromium = await launch();
    try {
      const { page, faults } = await openConsole(chromium, `/o/${slug}/members`);
      await signIn(page, ada);
      const row = page.locator(`[data-member="${mia.email}"]`);
      await row.waitFor();
      assert.equal(await page.locator("[data-member]").count(), 2);
      await page.getByRole("searchbox").fill("mia");
      await holds(page, "document.querySelectorAll('[data-member]').length === 1");
      await page.getByRole("searchbox").fill("nobody of this name");
      await page.getByText("Nobody matches").waitFor();
      await page.getByRole("searchbox").fill("");
      await row.waitFor();

      // A role for a while, and taken away again.
      await press(page, `Change roles of ${mia.email}`);
      const dialog = page.getByRole("dialog");
      await dialog.getByLabel("Role", { exact: true }).selectOption("analyst");
      assert.ok(
        await dialog.locator("option", { hasText: "super_admin" }).isDisabled(),
        "a role above one's own cannot be chosen",
      );
      await dialog.getByLabel("How long").selectOption("until a day");
      await dialog.getByLabel("Until").fill("2099-01-31");
      await judge(page, "roles-of-a-member");
      await dialog.getByRole("button", { name: "Give role" }).click();
      await dialog.getByRole("button", { name: "Take away analyst" }).waitFor();
      assert.deepEqual(await rolesOf(mia.id), ["analyst", "viewer"]);
      const [analyst] = await bulwark.roles.of(mia.id, acme);
      assert.match(analyst?.expires_at ?? "", /^2099-0[12]/);
      await dialog.getByRole("button", { name: "Take away analyst" }).click();
      await dialog.getByRole("button", { name: "Take away analyst" }).waitFor({
        state: "detached",
      });
      assert.deepEqual(await rolesOf(mia.id), ["viewer"]);
      await dialog.getByLabel("Role", { exact: true }).selectOption("analyst");
      await dialog.getByLabel("How long").selectOption("3 days");
      await dialog.getByRole("button", { name: "Give role" }).click();
      await dialog.getByRole("button", { name: "Take away analyst" }).waitFor();
      const [lent] = await bulwark.roles.of(mia.id, acme);
      const left = Date.parse(lent?.expires_at ?? "") - Date.now();
      assert.ok(Math.abs(left - 3 * 86_400_000) < 300_000, `it ends in ${left} ms`);
      await dialog.getByRole("button", { name: "Close" }).click();

      // Why she may, and why she may not.
      await press(page, `Permissions of ${mia.email}`);
      await holds(page, `location.hash.includes("member=${mia.id}")`);
      const granted = (await bulwark.roles.explain(mia.id, "analytics:export", acme))[0];
      assert.equal(granted?.role, "analyst");
      const through = dialog.locator('[data-permission="analytics:export"]');
      assert.ok((await through.innerText()).includes("analyst"));
      assert.equal(await dialog.locator('[data-permission="user:delete"]').count(), 0);
      await dialog.getByLabel(/^May /).selectOption("analytics:export");
      await dialog.getByText("Yes: by the role analyst").waitFor();
      await dialog.getByLabel(/^May /).selectOption("user:delete");
      await dialog.getByText("No: no role of theirs contains it.").waitFor();
      await judge(page, "why");
      await page.keyboard.press("Escape");
      await holds(page, "!location.hash.includes('member=')");
      await press(page, `Change roles of ${mia.email}`);
      await dialog.getByRole("button", { name: "Take away analyst" }).click();
      await dialog.getByRole("button", { name: "Take away analyst" }).waitFor({
        state: "detached",
      });
      await dialog.getByRole("button", { name: "Close" }).click();

      // The last administrator cannot leave, and is told.
      await page.getByRole("button", { name: "Leave" }).click();
      await dialog.getByRole("button", { name: "Leave" }).click();
      await page.locator("[data-code=RBAC_LAST_ADMINISTRATOR]").waitFor();
      await dialog.getByRole("button", { name: "Cancel" }).click();

      const guest = `guest-${crypto.randomUUID().slice(0, 8)}@people.test`;
      await page.getByText("Nobody is invited").waitFor({ state: "detached" });
      await page.getByRole("button", { name: "Invite" }).click();
      await dialog.getByLabel("E-mail").fill(guest);
      await dialog.getByLabel("Role", { exact: true }).selectOption("viewer");
      await dialog.getByLabel("How long").selectOption("3 days");
      const end = new Date(Date.now() + 3 * 86_400_000);
      await dialog.getByText(/access ends on .*, however late they accept/)
        .filter({ hasText: String(end.getFullYear()) }).waitFor();
      await judge(page, "invite");
      await dialog.getByRole("button", { name: "Invite" }).click();
      await dialog.getByText("No e-mail was sent").waitFor();
      await dialog.getByText(`${url}/`, { exact: true }).waitFor();
      await dialog.getByRole("button", { name: "Copy the token" }).waitFor();
      await dialog.getByRole("button", { name: "Done" }).click();
      const sent = page.locator(`[data-invitation="${guest}"]`);
      await sent.getByText("pending").waitFor();
      await sent.getByText(ada.email).waitFor();
      await sent.getByText("ends in 3 days").nth(1).waitFor();
      await judge(page, "members");
      await press(page, `Resend to ${guest}`);
      await holds(page, `document.querySelectorAll('[data-invitation="${guest}"]').length === 2`);
      await press(page, `Revoke for ${guest}`);
      await page.getByRole("button", { name: `Revoke for ${guest}` }).waitFor({
        state: "detached",
      });
      const states = (await bulwark.invitations.list(acme)).filter(({ email }) => email === guest)
        .map(({ state, role_expires_at }) => {
          const left = Date.parse(role_expires_at ?? "") - Date.now();
          return `${state}, ${(left / 86_400_000).toFixed(1)} days`;
        });
      assert.deepEqual(states, ["revoked, 3.0 days", "revoked, 3.0 days"]);

      await press(page, `Remove ${mia.email}`);
      await dialog.getByRole("button", { name: "Cancel" }).click();
      await row.waitFor();

      await page.getByRole("link", { name: "Roles" }).click();
      await page.getByRole("button", { name: "New role" }).click();
      await dialog.getByLabel("Name").fill("contractor");
      await dialog.getByRole("checkbox", { name: "viewer" }).check();
      await dialog.getByRole("checkbox", { name: "audit:read" }).check();
      assert.ok(await dialog.getByRole("checkbox", { name: "system:admin" }).isDisabled());
      await judge(page, "new-role");
      await dialog.getByRole("button", { name: "Create" }).click();
      await page.getByRole("button", { name: "Delete contractor" }).waitFor();
      await page.getByText("inherits viewer").waitFor();
      await judge(page, "roles");
      const cells = await page.evaluate(`(() => {
        const names = [...document.querySelectorAll("thead th")].map((cell) => cell.textContent);
        const of = (name) => [...document.querySelectorAll("tbody tr")]
          .find((row) => row.firstChild.textContent === name)
          .children[names.indexOf("contractor")].textContent;
        return [of("audit:read"), of("org:read"), of("system:admin")];
      })()`) as string[];
      assert.deepEqual(
        cells.map((text) => text.replace(/[●○]/, "")),
        ["its own", "inherited", "no"],
      );
      await page.getByRole("button", { name: "Edit contractor" }).click();
      assert.ok(await dialog.getByRole("checkbox", { name: "audit:read" }).isChecked());
      await dialog.getByLabel("Name").fill("viewer");
      await dialog.getByRole("checkbox", { name: "audit:read" }).uncheck();
      await dialog.getByRole("button", { name: "Save" }).click();
      await dialog.locator("[data-code]").waitFor();
      await dialog.getByLabel("Name").fill("auditor_for_a_day");
      await dialog.getByRole("checkbox", { name: "audit:export" }).check();
      await dialog.getByRole("button", { name: "Save" }).click();
      await page.getByRole("button", { name: "Edit auditor_for_a_day" }).waitFor();
      await page.getByText("1 of its own").waitFor();
      await page.getByRole("button", { name: "Delete auditor_for_a_day" }).click();
      await dialog.getByRole("button", { name: "Delete" }).click();
      await page.getByRole("button", { name: "Delete auditor_for_a_day" }).waitFor({
        state: "detached",
      });

      await page.getByRole("link", { name: "Members" }).click();
      await press(page, `Remove ${mia.email}`);
      await dialog.getByRole("button", { name: "Remove" }).click();
      await row.waitFor({ state: "detached" });
      assert.deepEqual(await rolesOf(mia.id), []);
      // Ada alone is left, whose row has more than one action.
      await page.setViewportSize({ width: 390, height: 844 });
      const mine = page.locator(`[data-member="${ada.email}"]`);
      // The row folds once the page has its new width.
      const actions = mine.getByRole("button", { name: "Actions" });
      await actions.waitFor();
      assert.equal(await mine.getByRole("button", { name: /^Permissions/ }).isVisible(), false);
      await actions.click();
      await mine.getByRole("button", { name: /^Permissions/ }).click();
      await dialog.waitFor();
      await page.keyboard.press("Escape");
      await dialog.waitFor({ state: "hidden" });
      await join(ada, acme, mia, "viewer");
      assert.deepEqual(faults, []);
      await page.context().close();

      // A viewer sees people and roles, and is offered nothing but to leave.
      const viewer = await openConsole(chromium);
      await signIn(viewer.page, mia);
      // A member of one organization starts there.
      await holds(viewer.page, `location.hash.endsWith("/o/${slug}")`);
      await viewer.page.getByRole("link", { name: "Members" }).click();
      await viewer.page.locator(`[data-member="${ada.email}"]`).waitFor();
      for (const name of [/^Invite/, /^Change roles/, /^Remove/, /^Revoke/]) {
        assert.equal(await viewer.page.getByRole("button", { name }).count(), 0, String(name));
      }
      await viewer.page.goto(`${url}/#/o/${slug}/members?open=invite`);
      await viewer.page.locator(`[data-member="${ada.email}"]`).waitFor();
      assert.equal(await viewer.page.getByRole("dialog").count(), 0, "an address opens no dialog");
      assert.equal(await viewer.page.getByText("Second factor").count(), 0);
      await viewer.page.getByRole("link", { name: "Roles" }).click();
      await viewer.page.getByText("audit:read", { exact: true }).waitFor();
      assert.equal(await viewer.page.getByRole("button", { name: "New role" }).count(), 0);
      await viewer.page.getByRole("link", { name: "Members" }).click();
      await viewer.page.getByRole("button", { name: "Leave" }).click();
      await viewer.page.getByRole("dialog").getByRole("button", { name: "Leave" }).click();
      await viewer.page.getByText("You are not in an organization yet").waitFor();
      assert.deepEqual(await rolesOf(mia.id), []);
      // She comes back for an hour.
      const role_expires_at = new Date(Date.now() + 3_600_000).toISOString();
      await bulwark.invitations.create(acme, { email: mia.email, role: "viewer", role_expires_at });
      await viewer.page.reload();
      await viewer.page.getByText(/^the role ends in/).waitFor();
      await viewer.page.getByRole("button", { name: "Accept" }).click();
      await holds(viewer.page, `location.hash.includes("/o/${slug}")`);
      const [back] = await bulwark.roles.of(mia.id, acme);
      assert.equal(Date.parse(back?.expires_at ?? ""), Date.parse(role_expires_at));
      // Somebody else's organization looks as one that does not exist.
      const other = await createBulwark(supabaseWith(bob.token), { throwOnError: true })
        .organizations.get(globex);
      await viewer.page.goto(`${url}/#/o/${other?.slug}/members`);
      await viewer.page.getByRole("heading", { name: "There is nothing here" }).waitFor();
      assert.deepEqual(viewer.faults, []);
      await viewer.page.context().close();
    } finally {
      await chromium.close();
    }
  },
});
