/** The sample app in a real browser, against the running stack. */
import assert from "node:assert/strict";
import { build, stop } from "esbuild";
import { inRepository } from "../../scripts/stack/paths.ts";
import { browser, html, javascript, visit } from "../foundation/browser.ts";
import { createOrganization, join, liftLimits, publishableKey, signUp, url } from "../support.ts";
import { assertAccessible, launch, openPage, picture, sizes } from "../foundation/page.ts";
import type { SampleResult, SampleSettings } from "./sample_driver.ts";

const sample = inRepository("examples", "app");

Deno.test({
  name: "CLIENT-E08: the sample app does its work in a browser, and each namespace answers there" +
    (browser ? "" : " (needs Chromium; Debian: chromium)"),
  ignore: browser === null,
  async fn() {
    await liftLimits();
    const [ada, bob] = [await signUp("ada"), await signUp("bob")];
    const [own, other] = [await createOrganization(ada), await createOrganization(bob)];
    await join(bob, other, ada, "viewer");
    const { email, password, token } = ada;
    const settings: SampleSettings = { url, publishableKey, email, password, token, own, other };
    const [app, driver] = await Promise.all([
      bundle(`${sample}/src/App.tsx`),
      bundle(inRepository("tests", "client", "sample_driver.ts")),
    ]);
    const result = await visit<SampleResult>({
      "/": () =>
        html(`<div id="root"></div><script type="module" src="/app.js"></script>
          <script type="module" src="/driver.js"></script>`),
      "/app.js": () => javascript(app),
      "/driver.js": () => javascript(driver),
      "/settings": () => Response.json(settings),
    });
    if (result.error !== undefined) assert.fail(result.error);
    const { called, missing, program, refused, me, backupCodes, log, guarded } = result;
    assert.deepEqual(missing, []);
    assert.deepEqual(program, { read: null, written: "42501" });
    const denied = "RBAC_PERMISSION_DENIED";
    assert.deepEqual(
      Object.entries(called).filter(([, code]) => code !== null),
      [["metrics", denied], ["settings", denied]],
    );
    assert.deepEqual(refused, ["LOGIN_FAILED", "MFA_INVALID_CODE", "RBAC_INVALID_EMAIL"]);
    assert.deepEqual([me, backupCodes, guarded], [email, 10, true]);
    assert.match(log, /\w+\.\w+/);
  },
});

Deno.test({
  name: "CLIENT-E15: the sample app is accessible in light and dark, on a desktop and a phone" +
    (browser ? "" : " (needs Chromium; Debian: chromium)"),
  ignore: browser === null,
  async fn() {
    await liftLimits();
    const ada = await signUp("ada");
    await createOrganization(ada);
    const files = {
      "/": html(await Deno.readTextFile(`${sample}/index.html`)),
      "/src/App.tsx": javascript(await bundle(`${sample}/src/App.tsx`)),
      "/src/style.css": new Response(await Deno.readTextFile(`${sample}/src/style.css`), {
        headers: { "content-type": "text/css" },
      }),
    };
    await using server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      (request) => {
        const { pathname } = new URL(request.url);
        const file = Object.entries(files).find(([path]) => path === pathname)?.[1];
        return file?.clone() ?? new Response(null, { status: 204 });
      },
    );
    const chromium = await launch();
    try {
      for (const colorScheme of ["light", "dark"] as const) {
        for (const [size, viewport] of Object.entries(sizes)) {
          const { page, faults } = await openPage(chromium, { colorScheme, viewport });
          const seen = async (screen: string) => {
            const name = `sample-${screen}-${size}-${colorScheme}`;
            await picture(page, name);
            await assertAccessible(page, name);
          };
          await page.goto(`http://localhost:${server.addr.port}/`);
          await page.fill("[name=email]", ada.email);
          await page.fill("[name=password]", ada.password);
          await seen("sign-in");
          const paper = () => page.evaluate("getComputedStyle(document.body).backgroundColor");
          assert.equal(
            await paper(),
            colorScheme === "dark" ? "rgb(15, 17, 20)" : "rgb(247, 248, 249)",
          );
          await page.click("text=Sign in >> nth=-1");
          await page.waitForSelector("#audit-log li");
          await page.click("text=Add a second factor");
          await page.waitForSelector("#secret");
          await page.fill("form[name=invite] input", `${"e".repeat(65)}@people.test`);
          await page.click("text=Invite >> nth=-1");
          await page.waitForSelector("[role=alert]");
          await seen("home");
          const wide = await page.evaluate("document.documentElement.scrollWidth");
          assert.ok(Number(wide) <= viewport.width, `${size}: scrolls sideways`);
          assert.deepEqual(faults, []);
          await page.context().close();
        }
      }
    } finally {
      await chromium.close();
    }
  },
});

Deno.test.afterAll(stop);

/** A program with all that it imports, with the types' resolution of the sample. */
async function bundle(entry: string): Promise<string> {
  const { outputFiles: [file] } = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    format: "esm",
    target: "es2022",
    tsconfig: `${sample}/tsconfig.json`,
    define: {
      "import.meta.env": JSON.stringify({
        VITE_SUPABASE_URL: url,
        VITE_SUPABASE_PUBLISHABLE_KEY: publishableKey,
      }),
    },
  });
  return file?.text ?? "";
}
