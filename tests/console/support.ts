/** The console in a browser. */
import assert from "node:assert/strict";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import {
  assertAccessible,
  colourRules,
  openPage,
  picture,
  sizes,
  type WatchedPage,
} from "../foundation/page.ts";
import { type Person, url } from "../support.ts";

/** Opens a screen of the console. */
export async function openConsole(
  browser: Browser,
  path = "/",
  options: BrowserContextOptions = {},
): Promise<WatchedPage> {
  const watched = await openPage(browser, { acceptDownloads: true, ...options });
  await watched.page.goto(`${url}/#${path}`);
  return watched;
}

/** Opens a screen as somebody who is signed in already, with the session of their client. */
export async function openConsoleAs(
  browser: Browser,
  { client }: Person,
  path = "/",
  options: BrowserContextOptions = {},
): Promise<WatchedPage> {
  const { data: { session } } = await client.auth.getSession();
  const localStorage = [{ name: "bulwark-session", value: JSON.stringify(session) }];
  const storageState = { cookies: [], origins: [{ origin: url, localStorage }] };
  return await openConsole(browser, path, { storageState, ...options });
}

export async function signIn(page: Page, { email, password }: { email: string; password: string }) {
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
}

export async function signOut(page: Page) {
  await page.getByRole("button", { name: "Account" }).click();
  await page.getByRole("menuitem", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
}

/** Judges a screen in both themes and both sizes, and keeps pictures of it. */
export async function judge(page: Page, screen: string): Promise<void> {
  for (const [size, viewport] of Object.entries(sizes)) {
    await page.setViewportSize(viewport);
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      const name = `console-${screen}-${size}-${colorScheme}`;
      await picture(page, name);
      // The second theme changes colours alone, and they are the same in both sizes.
      if (colorScheme === "light") await assertAccessible(page, name);
      else if (size === "desktop") await assertAccessible(page, name, colourRules);
    }
    const wide = await page.evaluate("document.documentElement.scrollWidth");
    assert.ok(Number(wide) <= viewport.width, `${screen} scrolls sideways on a ${size}`);
  }
  await page.setViewportSize(sizes.desktop);
  await page.emulateMedia({ colorScheme: "light" });
}

/** Presses a button of a row, which is folded away where the table is too wide. */
export async function press(page: Page, name: string): Promise<void> {
  const button = page.getByRole("button", { name, includeHidden: true });
  await button.first().waitFor({ state: "attached" });
  const folded = page.getByRole("row").filter({ has: button }).first()
    .getByRole("button", { name: "Actions", expanded: false });
  if (await folded.isVisible()) await folded.click();
  await button.first().click();
}

/** Waits until an expression is true. Playwright's own way evaluates a text, which the policy forbids. */
export async function holds(page: Page, expression: string): Promise<void> {
  for (let attempt = 0; attempt < 600; attempt++) {
    if (await page.evaluate(expression)) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.fail(`waited in vain: ${expression}`);
}
