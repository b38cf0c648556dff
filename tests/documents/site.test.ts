/** The site of the documents in Chromium, under its policy, and its links as files. */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { addressOf, buildSite } from "../../scripts/documents/site.ts";
import { anchorsOf, pages, textOf } from "../../scripts/documents/markdown.ts";
import { docsHeaders, serveDocs } from "../../scripts/stack/docs.ts";
import { browser } from "../foundation/browser.ts";
import { assertAccessible, launch, openPage, picture, sizes } from "../foundation/page.ts";

const site = await buildSite({ api: true });
const html = (path: string) => new TextDecoder().decode(site.get(path));
const idsIn = (text: string) => [...text.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);

Deno.test("DOCS-10: every page is in the site, with all its headings, and in the menu", async () => {
  for (const page of await pages()) {
    const address = addressOf(page)!;
    const ids = idsIn(html(address));
    assert.deepEqual(anchorsOf(await textOf(page)).filter((id) => !ids.includes(id)), [], page);
    assert.match(html(address), /aria-current="page"/, `${page} is not in the menu`);
  }
});

Deno.test("DOCS-11: every link and file of the site exists, and no comment is shown", () => {
  const wrong: string[] = [];
  for (const path of site.keys()) {
    if (!path.endsWith(".html")) continue;
    const prose = html(path).replaceAll(/<code>[^]*?<\/code>/g, "");
    if (prose.includes("&lt;!--") || prose.includes("<!-- ")) wrong.push(`${path}: a comment`);
    for (const [, target = ""] of html(path).matchAll(/ (?:href|src)="([^"]+)"/g)) {
      if (/^(https?|mailto):/.test(target)) continue;
      const [file = "", anchor] = target.split("#");
      const found = file ? join(dirname(path), file) : path;
      if (found === "api") continue;
      if (!site.has(found)) wrong.push(`${path}: ${target}`);
      else if (anchor && !idsIn(html(found)).includes(anchor)) wrong.push(`${path}: ${target}`);
    }
  }
  assert.deepEqual(wrong, []);
});

Deno.test("DOCS-12: no page has an inline style or script, or an empty heading of a table", () => {
  for (const path of site.keys()) {
    if (!path.endsWith(".html")) continue;
    const inline = /<style| style="|<script(?! (type="module" )?src=)| on\w+="/.exec(html(path));
    assert.equal(inline?.[0], undefined, path);
    assert.doesNotMatch(html(path), /<th(?: [^>]*)?><\/th>/, path);
  }
});

Deno.test("DOCS-13: paths that leave the site are not served, and writing is refused", async () => {
  const { fetch } = serveDocs();
  const answer = (path: string, method = "GET") =>
    fetch(new Request(`http://localhost${path}`, { method }), {} as Deno.ServeHandlerInfo);
  assert.equal((await answer("/docs")).headers.get("location"), "/docs/");
  for (const path of ["/docs/../package.json", "/docs/%2e%2e/package.json", "/docsx", "/docs/no"]) {
    assert.equal((await answer(path)).status, 404, path);
  }
  assert.equal((await answer("/docs/", "POST")).status, 404);
  const page = await answer("/docs/rbac.html");
  assert.equal(page.status, 200);
  for (const [name, value] of Object.entries(docsHeaders)) {
    assert.equal(page.headers.get(name), value);
  }
});

Deno.test({
  name: "DOCS-14: the site can be read and searched on both sizes and in both themes, offline" +
    (browser ? "" : " (needs Chromium; Debian: chromium)"),
  ignore: browser === null,
  async fn() {
    const route = serveDocs();
    await using server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      (request, info) => route.fetch(request, info),
    );
    const address = `http://127.0.0.1:${server.addr.port}/docs/`;
    await using chromium = {
      browser: await launch(),
      [Symbol.asyncDispose]: () => chromium.browser.close(),
    };
    const { page, faults } = await openPage(chromium.browser);
    const asked: string[] = [];
    page.on("request", (request) => asked.push(request.url()));
    for (const name of ["index", "encryption"]) {
      await page.goto(`${address}${name}.html`);
      for (const [size, viewport] of Object.entries(sizes)) {
        await page.setViewportSize(viewport);
        for (const colorScheme of ["light", "dark"] as const) {
          await page.emulateMedia({ colorScheme });
          const screen = `docs-${name.replace("/", "-")}-${size}-${colorScheme}`;
          await picture(page, screen);
          await assertAccessible(page, screen);
        }
        const wide = Number(await page.evaluate("document.documentElement.scrollWidth"));
        assert.ok(wide <= viewport.width, `${name} scrolls sideways on a ${size}: ${wide}`);
      }
    }
    await page.setViewportSize(sizes.desktop);
    await page.keyboard.press("/");
    await page.keyboard.type("legal hold");
    const first = page.locator(".results a").first();
    await first.waitFor();
    await picture(page, "docs-search");
    await assertAccessible(page, "docs-search");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await page.waitForURL(/audit\.html#/);
    await page.getByRole("searchbox").fill("zzzzqqq");
    await page.getByText("Nothing found").waitFor();
    await page.getByRole("button", { name: "Theme" }).click();
    assert.equal(await page.evaluate("document.documentElement.dataset.theme"), "light");
    await page.reload();
    assert.equal(await page.evaluate("document.documentElement.dataset.theme"), "light");
    assert.deepEqual(faults, []);
    assert.deepEqual(asked.filter((url) => !url.startsWith(address)), [], "it works offline");
  },
});
