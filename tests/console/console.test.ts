/** The console in Chromium over the running stack. */
import assert from "node:assert/strict";
import { codeOf } from "../client/steps.ts";
import { createBulwark, supabaseWith } from "../client/support.ts";
import { browser } from "../foundation/browser.ts";
import { join as joinPath } from "node:path";
import { buildConsole, consoleHeaders } from "../../scripts/stack/console.ts";
import { launch, openPage } from "../foundation/page.ts";
import {
  createOrganization,
  freshSlug,
  join,
  liftLimits,
  publishableKey,
  secretKey,
  signUp,
  url,
} from "../support.ts";
import { holds, judge, openConsole, signIn, signOut } from "./support.ts";

const needed = browser ? "" : " (needs Chromium; Debian: chromium)";
const ignore = browser === null;
const chromium = browser ? await launch() : null;

Deno.test.beforeAll(async () => {
  await liftLimits();
  // The first request builds the console.
  await (await fetch(url)).body?.cancel();
});
Deno.test.afterAll(() => chromium?.close());

Deno.test("CONSOLE-E01: static files come compressed, under a strict policy, without a secret", async () => {
  const get = (path: string, headers: Record<string, string> = {}) =>
    fetch(url + path, { headers: { "accept-encoding": "identity", ...headers } });
  const page = await get("/");
  assert.equal(page.status, 200);
  const policy = page.headers.get("content-security-policy") ?? "";
  assert.match(policy, /script-src 'self'; style-src 'self';/);
  assert.match(policy, /require-trusted-types-for 'script'; trusted-types bulwark-verifier$/);
  assert.doesNotMatch(policy, /unsafe|\*/);
  const html = await page.text();
  const [script = ""] = /assets\/index-[\w-]+\.js/.exec(html) ?? [];
  const plain = await get(`/${script}`);
  const text = await plain.text();
  assert.match(plain.headers.get("cache-control") ?? "", /immutable/);
  assert.equal(plain.headers.get("vary"), "accept-encoding");
  // fetch decompresses, so the length of the answer tells.
  for (const [accepted, encoding] of [["br", "br"], ["gzip, br;q=0", "gzip"]] as const) {
    const answer = await get(`/${script}`, { "accept-encoding": accepted });
    assert.equal(await answer.text(), text, encoding);
    assert.match(answer.headers.get("etag") ?? "", new RegExp(encoding));
  }
  const etag = page.headers.get("etag") ?? "";
  const again = await get("/", { "if-none-match": etag });
  assert.equal(again.status, 304);
  await again.body?.cancel();
  assert.deepEqual(await (await get("/config.json")).json(), { publishableKey });
  for (
    const path of ["/nothing", "/assets/", "/assets/..%2findex.html", "/index.html.br", "/rest"]
  ) {
    const { status, body } = await get(path);
    await body?.cancel();
    assert.equal(status, 404, path);
  }
  assert.equal(text.includes(secretKey), false);
});

Deno.test({
  name:
    "CONSOLE-E02: from an account to a second factor, backup codes, a trusted browser and a step-up" +
    needed,
  ignore,
  async fn() {
    const { page, faults } = await openConsole(chromium!);
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await judge(page, "sign-in");
    const email = `eve-${crypto.randomUUID().slice(0, 8)}@people.test`;
    const password = crypto.randomUUID();
    await signIn(page, { email, password });
    await page.locator("[data-code=LOGIN_FAILED]").waitFor();
    assert.equal(await page.getByLabel("E-mail").inputValue(), email, "nothing typed is lost");
    await page.getByRole("link", { name: "Create one" }).click();
    await page.getByLabel("E-mail").fill(email);
    await page.getByLabel("Password").fill(password);
    await page.getByRole("button", { name: "Create account" }).click();

    await page.getByText("You are not in an organization yet").waitFor();
    await judge(page, "home-empty");
    await page.getByRole("button", { name: "Create organization" }).click();
    await page.getByLabel("Name").fill(`Acme ${email}`);
    assert.match(await page.getByLabel("Slug").inputValue(), /^acme-eve-/);
    await page.getByRole("button", { name: "Create", exact: true }).click();
    await page.getByRole("link", { name: `Acme ${email}` }).waitFor();

    await page.getByRole("link", { name: "My security" }).click();
    await page.getByText("No second factor").waitFor();
    await page.getByRole("button", { name: "Add second factor" }).click();
    await page.getByRole("button", { name: "Continue" }).click();
    const secret = await page.locator("[data-secret]").innerText();
    // A screen reader does not read the secret aloud.
    await page.getByAltText("QR code of the key below", { exact: true }).waitFor();
    const drawn = await page.evaluate("document.querySelector('img[alt^=QR]').naturalWidth");
    assert.ok(Number(drawn) > 0, "the QR code is drawn");
    await judge(page, "enrol");
    await page.getByRole("textbox", { name: "Code" }).fill("000000");
    await page.getByRole("button", { name: "Activate" }).click();
    await page.locator("[data-code=MFA_CODE_REFUSED]").waitFor();
    await page.getByRole("textbox", { name: "Code" }).fill(codeOf(secret));
    await page.getByRole("button", { name: "Activate" }).click();
    const shownCodes = page.locator("[data-backup-codes] li");
    await shownCodes.first().waitFor();
    const codes = await shownCodes.allInnerTexts();
    assert.equal(codes.length, 10);
    await judge(page, "account");
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "Download" }).click(),
    ]);
    assert.deepEqual((await Deno.readTextFile(await download.path())).trim().split("\n"), codes);
    await page.getByRole("button", { name: "I have kept them" }).click();
    assert.equal(await page.locator("[data-backup-codes]").count(), 0);
    await page.getByText("Wrong code while adding a factor").waitFor();

    await signOut(page);
    assert.equal((await page.textContent("body"))?.includes(email), false);
    await signIn(page, { email, password });
    await page.getByRole("heading", { name: "Second factor" }).waitFor();
    await judge(page, "second-factor");
    // Without the second factor no other screen opens.
    await page.goto(`${url}/#/account`);
    await page.getByRole("heading", { name: "Second factor" }).waitFor();
    await page.getByRole("textbox", { name: "Code" }).fill("000000");
    await page.getByRole("button", { name: "Verify" }).click();
    await page.locator("[data-code=MFA_CODE_REFUSED]").waitFor();
    await page.getByRole("button", { name: "Use a backup code" }).click();
    await page.getByLabel("Backup code").fill(codes[0] ?? "");
    await page.getByLabel("Trust this browser").check();
    await page.getByRole("button", { name: "Verify" }).click();
    // It returns to the screen that was asked for.
    await page.getByRole("heading", { name: "Trusted browsers" }).waitFor();
    await page.getByRole("button", { name: /^Revoke/ }).waitFor();
    await page.getByText("9 left").waitFor();
    await page.keyboard.press("Control+k");
    await page.getByLabel("Search screens, people and actions").fill("2fa");
    await page.getByRole("option", { name: "My security" }).waitFor();
    await page.keyboard.press("Escape");

    await signOut(page);
    await signIn(page, { email, password });
    await page.getByRole("heading", { name: "My security" }).waitFor();
    await page.getByRole("button", { name: "Make new codes" }).click();
    await page.getByRole("dialog", { name: "Confirm that it is you" }).waitFor();
    await judge(page, "step-up");
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.locator("[data-code=MFA_VERIFICATION_REQUIRED]").waitFor();
    await page.getByRole("button", { name: "Make new codes" }).click();
    await page.getByRole("textbox", { name: "Code" }).fill("000000");
    await page.getByRole("button", { name: "Confirm" }).click();
    await page.locator("[data-code=MFA_CODE_REFUSED]").waitFor();
    await page.getByRole("textbox", { name: "Code" }).fill(codes[1] ?? "");
    await page.getByRole("button", { name: "Confirm" }).click();
    await shownCodes.first().waitFor();
    const fresh = await shownCodes.allInnerTexts();
    assert.equal(fresh.length, 10, "the call that was refused is repeated");
    assert.equal(fresh.some((code) => codes.includes(code)), false);
    assert.deepEqual(faults, []);
    await page.context().close();
  },
});

Deno.test({
  name:
    "CONSOLE-E03: the audit log of one's own organizations: filters in the address, entries, differences" +
    needed,
  ignore,
  async fn() {
    const [ada, bob, mia] = [await signUp("ada"), await signUp("bob"), await signUp("mia")];
    const [acme, globex] = [await createOrganization(ada), await createOrganization(bob)];
    await join(ada, acme, mia, "viewer");
    const bulwark = createBulwark(supabaseWith(ada.token), { throwOnError: true });
    const { slug } = await bulwark.organizations.update(acme, { name: "Acme Ltd" });
    for (let number = 0; number < 130; number++) {
      await bulwark.audit.log({
        event_type: "data.read",
        organization_id: acme,
        action: `read report ${number}`,
        details: { number },
      });
    }
    const other = await createBulwark(supabaseWith(bob.token), { throwOnError: true })
      .organizations.get(globex);
    const { page, faults } = await openConsole(chromium!, `/o/${slug}/audit`);
    await signIn(page, ada);
    const rows = page.locator("[data-entry]");
    await rows.first().waitFor();
    assert.equal(await page.title(), "Audit log · Acme Ltd · Bulwark");
    await judge(page, "audit");
    await page.getByRole("rowgroup", { name: "Entries" }).hover();
    for (let step = 0; step < 12; step++) {
      await page.mouse.wheel(0, 600);
      await page.waitForTimeout(100);
    }
    await holds(page, "document.querySelector('[role=table]').ariaRowCount > 130");
    assert.ok(await rows.count() < 60, "a window of the rows is in the document");

    await page.getByRole("searchbox").fill("report 77");
    await holds(page, "location.hash.includes('search=')");
    await holds(page, "document.querySelectorAll('[data-entry]').length === 1");
    await page.reload();
    await holds(page, "document.querySelectorAll('[data-entry]').length === 1");
    assert.equal(await page.getByRole("searchbox").inputValue(), "report 77");
    await page.getByRole("searchbox").fill("nothing is called so");
    await page.getByText("No entry matches").waitFor();
    await page.getByRole("searchbox").fill("");

    // Two clicks tell who exported data in the last days, in the chart as well.
    await createBulwark(supabaseWith(mia.token), { throwOnError: true }).audit.log({
      event_type: "data.export",
      organization_id: acme,
      action: "download_report",
    });
    await page.getByLabel("Event type").selectOption("Exports");
    await page.getByLabel("Period").selectOption("Last 7 days");
    await holds(page, "document.querySelectorAll('[data-entry]').length === 1");
    await holds(page, "document.querySelector('[data-histogram]')?.dataset.histogram === '1'");
    await rows.filter({ hasText: "data.export" }).first().waitFor();
    await page.getByRole("cell", { name: mia.email }).waitFor();
    await page.reload();
    await holds(page, "document.querySelectorAll('[data-entry]').length === 1");
    await page.getByLabel("Period").selectOption("Last month");
    await page.getByText("No entry matches").waitFor();
    await page.getByLabel("Period").selectOption("Other days");
    await page.getByLabel("Until").fill("");
    await page.getByLabel("Period").selectOption("Any time");
    await page.getByLabel("Event type").selectOption("Any event");

    // Somebody by name, and no longer.
    const actor = page.getByRole("combobox", { name: "Actor" });
    await actor.fill(mia.email);
    await page.getByRole("button", { name: `Actor: ${mia.email}` }).waitFor();
    await holds(page, "location.hash.includes('actor=')");
    await page.getByRole("button", { name: `Actor: ${mia.email}` }).click();
    await actor.waitFor();

    await page.getByLabel("Event type").selectOption("authz.role_assigned");
    const given = rows.filter({ hasText: "authz.role_assigned" });
    await page.getByRole("cell", { name: `${mia.email} · viewer` }).waitFor();
    await given.first().click();
    await page.getByRole("dialog").getByText("viewer", { exact: true }).first()
      .waitFor();
    await page.keyboard.press("Escape");

    await page.getByLabel("Event type").selectOption("data.update");
    const changed = rows.filter({ hasText: "data.update" }).first();
    await changed.click();
    const drawer = page.getByRole("dialog");
    await drawer.getByText("Acme Ltd").first().waitFor();
    await drawer.getByRole("heading", { name: "Changes" }).waitFor();
    await judge(page, "entry");
    await page.keyboard.press("Escape");
    await drawer.waitFor({ state: "hidden" });
    const focused = await page.evaluate("document.activeElement.dataset.entry ?? null");
    assert.notEqual(focused, null, "the focus returns to the entry");
    await page.keyboard.press("Enter");
    await drawer.getByRole("button", { name: "Its history" }).click();
    await holds(page, "location.hash.includes('resource=')");

    // Somebody else's organization looks as one that does not exist.
    await page.goto(`${url}/#/o/${other?.slug}/audit`);
    await page.getByRole("heading", { name: "There is nothing here" }).waitFor();
    assert.deepEqual(faults, []);
    await page.context().close();

    const viewer = await openConsole(chromium!, `/o/${slug}/audit`);
    await signIn(viewer.page, mia);
    await viewer.page.getByText("This is not open to you").waitFor();
    assert.equal(
      await viewer.page.getByRole("link", { name: "Audit log", exact: true }).count(),
      0,
    );
    await judge(viewer.page, "audit-refused");
    assert.deepEqual(viewer.faults, []);
    await viewer.page.context().close();
  },
});

Deno.test({
  name:
    "CONSOLE-E05: an outage and a session that ends are said in words, and nothing typed is lost" +
    needed,
  ignore,
  async fn() {
    const ada = await signUp("ada");
    await createOrganization(ada);
    const { page, faults } = await openConsole(chromium!, "/account");
    const away = "**/functions/v1/**";
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await page.route(away, (route) => route.abort());
    await signIn(page, ada);
    await page.locator("[data-code=CLIENT_NETWORK]").waitFor();
    assert.equal(await page.getByLabel("Password").inputValue(), ada.password);
    await page.unroute(away);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("heading", { name: "Sessions" }).waitFor();
    const bulwark = createBulwark(supabaseWith(ada.token), { throwOnError: true });
    const others = (await bulwark.sessions.list()).filter(({ is_current }) => !is_current);
    assert.equal(others.length, 1);
    await bulwark.sessions.end(others[0]!.id);
    // Another screen asks again, and learns that the session is over.
    await page.getByRole("link", { name: "Audit log", exact: true }).click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor({ timeout: 40_000 });
    await page.getByText("Your session has ended. Sign in again.").waitFor();
    await signIn(page, ada);
    await page.locator("[data-entry]").first().waitFor();

    // Under an open form it is asked for there, with the second factor, and the input stays.
    await page.goto(`${url}/#/`);
    await page.getByRole("button", { name: "Create organization" }).click();
    await page.getByLabel("Name").fill("Initech");
    await page.getByLabel("Slug").fill(freshSlug());
    const { secret } = await bulwark.mfa.enroll();
    const { backup_codes } = await bulwark.mfa.activate(codeOf(secret));
    for (const one of await bulwark.sessions.list()) {
      if (!one.is_current) await bulwark.sessions.end(one.id);
    }
    await page.getByRole("button", { name: "Create", exact: true }).click();
    const again = page.getByRole("dialog", { name: "Your session has ended" });
    await again.getByLabel("Password").fill("another");
    await again.getByRole("button", { name: "Sign in" }).click();
    await again.locator("[data-code=LOGIN_FAILED]").waitFor();
    await page.keyboard.press("Escape");
    await judge(page, "session-ended");
    await again.getByLabel("Password").fill(ada.password);
    await again.getByRole("button", { name: "Sign in" }).click();
    await again.getByRole("button", { name: "Use a backup code" }).click();
    await again.getByLabel("Backup code").fill(backup_codes![0]!);
    await again.getByRole("button", { name: "Verify" }).click();
    await again.waitFor({ state: "detached" });
    assert.equal(await page.getByLabel("Name").inputValue(), "Initech");
    await page.getByRole("button", { name: "Create", exact: true }).click();
    await page.getByRole("link", { name: "Initech" }).waitFor();

    assert.deepEqual(faults, []);
    // To leave ends this session alone, and works without an answer of the server.
    await page.route("**/auth/v1/logout*", (route) => route.abort());
    await signOut(page);
    assert.equal(await page.getByText("Your session has ended").count(), 0);
    assert.equal(await page.evaluate("localStorage.getItem('bulwark-session')"), null);
    assert.ok((await bulwark.sessions.list()).some((one) => one.is_current));
    assert.deepEqual(faults.filter((fault) => !/TypeError: Failed to fetch/.test(fault)), []);
    await page.context().close();
  },
});

Deno.test({
  name: "CONSOLE-E06: any host can serve it, in any folder, with a configuration of two values" +
    needed,
  ignore,
  async fn() {
    const ada = await signUp("ada");
    await createOrganization(ada);
    const folder = await buildConsole();
    for await (const { name } of Deno.readDir(joinPath(folder, "assets"))) {
      const text = await Deno.readTextFile(joinPath(folder, "assets", name));
      assert.equal(text.includes(secretKey) || text.includes("sb_secret_"), false, name);
    }
    const policy = consoleHeaders["content-security-policy"]
      .replace("connect-src 'self'", `connect-src 'self' ${url}`);
    await using host = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      async (request) => {
        const path = new URL(request.url).pathname.replace("/security/", "");
        const headers = { ...consoleHeaders, "content-security-policy": policy };
        if (path === "config.json") return Response.json({ url, publishableKey }, { headers });
        const file = await Deno.readFile(joinPath(folder, path || "index.html")).catch(() => null);
        const type = path.endsWith(".js")
          ? "text/javascript"
          : path.endsWith(".css")
          ? "text/css"
          : path.endsWith(".svg")
          ? "image/svg+xml"
          : "text/html";
        return new Response(file, {
          status: file ? 200 : 404,
          headers: { ...headers, "content-type": type },
        });
      },
    );
    const { page, faults } = await openPage(chromium!);
    await page.goto(`http://127.0.0.1:${host.addr.port}/security/`);
    await signIn(page, ada);
    await page.getByRole("region", { name: "Is everything all right?" }).waitFor();
    assert.deepEqual(faults, []);
    await page.context().close();
  },
});

Deno.test({
  name: "CONSOLE-E04: sign-in loads under 170 kB of gzip script, with the audit log under 250 kB" +
    needed,
  ignore,
  async fn() {
    const ada = await signUp("ada");
    const acme = await createOrganization(ada);
    const { page } = await openConsole(chromium!, "/sign-in");
    const loaded = new Set<string>();
    const size = async () => {
      const names = await page.evaluate(
        "performance.getEntriesByType('resource').map(({ name }) => name).filter((name) => name.endsWith('.js'))",
      ) as string[];
      for (const name of names) loaded.add(name);
      let bytes = 0;
      for (const name of loaded) {
        const compressed = (await fetch(name)).body!.pipeThrough(new CompressionStream("gzip"));
        bytes += (await new Response(compressed).arrayBuffer()).byteLength;
      }
      return bytes;
    };
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    const first = await size();
    assert.ok(first > 50_000 && first < 170_000, `${first} bytes`);
    await signIn(page, ada);
    await page.getByRole("link", { name: "Audit log", exact: true }).click();
    await page.locator("[data-entry]").first().waitFor();
    const second = await size();
    assert.ok(second < 250_000, `${second} bytes`);
    assert.ok(acme);
    await page.context().close();
  },
});
