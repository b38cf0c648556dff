/** The sample app in a real browser, against the running stack. */
import assert from "node:assert/strict";
import { build, stop } from "esbuild";
import { inRepository } from "../../scripts/stack/paths.ts";
import { browser, html, javascript, visit } from "../foundation/browser.ts";
import { createOrganization, join, liftLimits, publishableKey, signUp, url } from "../support.ts";
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
    const { called, missing, refused, me, backupCodes, log, guarded } = result;
    assert.deepEqual(missing, []);
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
