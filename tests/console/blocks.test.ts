/** The blocks in an application of somebody else: added by the shadcn command, built, and used. */
import assert from "node:assert/strict";
import { extname, join as joinPath } from "node:path";
import { makeScratchFolder } from "../../scripts/stack/scratch.ts";
import { codeOf } from "../client/steps.ts";
import { createBulwark, supabaseWith } from "../client/support.ts";
import { browser } from "../foundation/browser.ts";
import { launch, openPage } from "../foundation/page.ts";
import {
  createOrganization,
  join,
  liftLimits,
  type Person,
  publishableKey,
  signUp,
  url,
} from "../support.ts";
import { receive } from "../webhooks/support.ts";
import { buildHost } from "./blocks_host.ts";
import { holds, judge } from "./support.ts";

const types: Record<string, string> = {
  ".css": "text/css",
  ".html": "text/html",
  ".js": "text/javascript",
};

Deno.test({
  name: "CONSOLE-E24: each block is added by the shadcn command, built strictly, and works" +
    (browser ? "" : " (needs Chromium; Debian: chromium)"),
  ignore: browser === null,
  async fn() {
    await liftLimits();
    const [ada, bob, mia] = [await signUp("ada"), await signUp("bob"), await signUp("mia")];
    const [acme, globex] = [await createOrganization(ada), await createOrganization(bob)];
    await join(ada, acme, mia, "viewer");
    const bulwark = createBulwark(supabaseWith(ada.token), { throwOnError: true });
    await bulwark.roles.create(acme, { name: "contractor", inherits: ["viewer"] });
    await bulwark.apiKeys.create(acme, { name: "import", scopes: ["analytics:read"] });
    await bulwark.invitations.create(acme, { email: "guest@people.test", role: "viewer" });
    await using receiver = receive();
    const subscriptions = [{ pattern: "security.*", minimum_severity: "debug" as const }];
    await bulwark.webhooks.create({
      organization_id: acme,
      name: "pager",
      url: receiver.url,
      subscriptions,
    });
    const ofBob = createBulwark(supabaseWith(bob.token), { throwOnError: true });
    await ofBob.invitations.create(globex, { email: ada.email, role: "viewer" });
    const { name: elsewhere } = (await ofBob.organizations.get(globex))!;

    const scratch = await makeScratchFolder("host");
    const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, serve);
    const chromium = await launch();
    try {
      await buildHost(scratch.path);
      const { page, faults } = await open(ada);
      const dialog = page.getByRole("dialog");
      await page.locator(`[data-member="${mia.email}"]`).waitFor();
      await page.locator("[data-invitation='guest@people.test']").waitFor();
      await page.locator("[data-key=import]").waitFor();
      await page.locator("[data-endpoint=pager]").waitFor();
      await page.locator("[data-entry]").first().waitFor();
      await page.getByRole("button", { name: "Delete contractor" }).waitFor();
      await page.locator("[data-challenge]").getByText("Trust this browser").waitFor();
      await judge(page, "blocks");

      await page.getByRole("button", { name: "Add second factor" }).click();
      await dialog.getByLabel("Name").fill("phone");
      await dialog.getByRole("button", { name: "Continue" }).click();
      const secret = await page.locator("[data-secret]").innerText();
      await dialog.getByRole("textbox", { name: "Code" }).fill(codeOf(secret));
      await dialog.getByRole("button", { name: "Activate" }).click();
      await page.locator("[data-backup-codes] li").nth(9).waitFor();
      await dialog.getByRole("button", { name: "I have kept them" }).click();
      await page.getByRole("button", { name: "Accept", exact: true }).click();
      await page.getByRole("button", { name: "Accept", exact: true }).waitFor({
        state: "detached",
      });
      await page.getByRole("button", { name: /^Organization:/ }).click();
      assert.equal(await page.getByRole("menuitem").count(), 2);
      await page.keyboard.press("Escape");

      await page.goto(`${address()}?bracketed`);
      await page.locator("[data-entry]").first().waitFor();
      await holds(page, "!document.querySelector('[class*=skeleton]')");
      assert.deepEqual(await page.evaluate(fixedTexts), []);
      for (const name of ["[Invite]", "[New role]", "[Make a key]", "[Add endpoint]"]) {
        await page.getByRole("button", { name, exact: true }).click();
        await dialog.getByRole("button", { name: "[Cancel]" }).waitFor();
        await holds(page, "!document.querySelector('[class*=skeleton]')");
        assert.deepEqual(await page.evaluate(fixedTexts), [], name);
        await dialog.getByRole("button", { name: "[Cancel]" }).click();
        await dialog.waitFor({ state: "detached" });
      }
      assert.deepEqual(faults, []);
      await page.context().close();

      // A viewer is offered no change, and sees nothing of the other organization.
      const viewer = await open(mia);
      await viewer.page.locator("[data-can=no]").waitFor({ state: "attached" });
      await viewer.page.locator(`[data-member="${ada.email}"]`).waitFor();
      await holds(viewer.page, "!document.querySelector('[class*=skeleton]')");
      assert.equal(await viewer.page.getByText(elsewhere).count(), 0);
      for (const name of [/^Invite/, /^New role/, /^Make a key/, /^Add endpoint/, /^Remove/]) {
        assert.equal(await viewer.page.getByRole("button", { name }).count(), 0, String(name));
      }
      assert.deepEqual(viewer.faults, []);
      await viewer.page.context().close();
    } finally {
      await chromium.close();
      await server.shutdown();
      await scratch.remove();
    }

    function address(): string {
      return `http://127.0.0.1:${server.addr.port}/`;
    }

    async function open({ client }: Person) {
      const { data: { session } } = await client.auth.getSession();
      const localStorage = [{ name: "host", value: JSON.stringify(session) }];
      const origins = [{ origin: address().slice(0, -1), localStorage }];
      const watched = await openPage(chromium, { storageState: { cookies: [], origins } });
      await watched.page.goto(address());
      return watched;
    }

    async function serve(request: Request): Promise<Response> {
      const { pathname } = new URL(request.url);
      if (pathname === "/config.json") return Response.json({ url, publishableKey });
      const path = pathname === "/" ? "/index.html" : pathname;
      const content = await Deno.readFile(joinPath(scratch.path, "dist", path));
      return new Response(content, { headers: { "content-type": types[extname(path)] ?? "" } });
    }
  },
});

/** The texts and labels of the page that are neither in brackets nor values of the database. */
const fixedTexts = `(() => {
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (!node.parentElement.closest("time, title, script, h1, .font-mono")) {
      texts.push(node.textContent);
    }
  }
  for (const element of document.querySelectorAll("[aria-label], [placeholder]")) {
    texts.push(element.getAttribute("aria-label") ?? "", element.getAttribute("placeholder") ?? "");
  }
  return texts.map((text) => text.trim())
    .filter((text) => /[A-Z]|[a-z] [a-z]/.test(text) && !/[[\\]@]/.test(text));
})()`;
