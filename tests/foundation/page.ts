/** Pages in Chromium, driven and judged: console errors, violations of the policy, accessibility. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { inRepository } from "../../scripts/stack/paths.ts";
import { browser as executablePath } from "./browser.ts";

/** Chromium without a profile. */
export async function launch(): Promise<Browser> {
  return await chromium.launch({
    executablePath: executablePath!,
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
  });
}

/** The sizes on which pages have to be usable. */
export const sizes = {
  desktop: { width: 1280, height: 800 },
  phone: { width: 390, height: 844 },
} as const;

/** A page whose faults are collected. */
export interface WatchedPage {
  page: Page;
  /** Console errors, uncaught errors and violations of the policy so far. */
  faults: string[];
}

/** Opens a page in a context of its own. */
export async function openPage(
  browser: Browser,
  options: BrowserContextOptions = {},
): Promise<WatchedPage> {
  const context = await browser.newContext({ viewport: sizes.desktop, ...options });
  const page = await context.newPage();
  // A slow machine is no fault of the page.
  page.setDefaultTimeout(60_000);
  page.setDefaultNavigationTimeout(60_000);
  const faults: string[] = [];
  page.on("console", (message) => {
    // Chromium reports each refused request as an error, and refusals are part of the tests.
    if (message.type() !== "error" || /^Failed to load resource/.test(message.text())) return;
    faults.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => faults.push(`error: ${error}`));
  await page.exposeFunction("reportViolation", (text: string) => faults.push(`policy: ${text}`));
  await page.addInitScript(`document.addEventListener("securitypolicyviolation", (event) =>
    reportViolation(event.effectiveDirective + " " + event.blockedURI + " " + event.sample))`);
  return { page, faults };
}

interface AxeResult {
  violations: { id: string; nodes: { target: unknown; failureSummary: string }[] }[];
}

/** The rules that depend on colours: all that another theme can break. */
export const colourRules = ["color-contrast", "link-in-text-block"];

/**
 * Fails with all that axe finds in a page, or that some of its rules find. Playwright's scripts are
 * not subject to the policy.
 */
export async function assertAccessible(
  page: Page,
  screen: string,
  rules?: string[],
): Promise<void> {
  if (await page.evaluate("typeof axe === 'undefined'")) {
    const session = await page.context().newCDPSession(page);
    const source = await Deno.readTextFile(inRepository("node_modules", "axe-core", "axe.min.js"));
    await session.send("Runtime.evaluate", { expression: source });
    await session.detach();
  }
  const options = rules ? { runOnly: { type: "rule", values: rules } } : {};
  const { violations } = await page.evaluate(`axe.run(${JSON.stringify(options)})`) as AxeResult;
  const found = violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${screen}: ${id} ${target} ${failureSummary}`)
  );
  assert.deepEqual(found, []);
}

/** Keeps a picture of a page in the folder of BULWARK_SCREENSHOTS, if that is set. */
export async function picture(page: Page, name: string): Promise<void> {
  const folder = Deno.env.get("BULWARK_SCREENSHOTS");
  if (folder) await page.screenshot({ path: join(folder, `${name}.png`) });
}
