/** All screens of the console in Chromium: to whom each is open, and how often it asks by itself. */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { createBulwark, supabaseWith } from "../client/support.ts";
import { browser } from "../foundation/browser.ts";
import { launch } from "../foundation/page.ts";
import {
  connect,
  createOrganization,
  join,
  liftLimits,
  type Person,
  signUp,
  url,
} from "../support.ts";
import { holds, openConsoleAs } from "./support.ts";

const unless = browser ? "" : " (needs Chromium; Debian: chromium)";
const ignore = browser === null;
const roles = ["api_user", "viewer", "analyst", "admin", "super_admin"] as const;
type Role = typeof roles[number];

/** A screen: its path, its title, and the least role that opens it. Roles are in their order. */
type Screen = readonly [path: string, title: string, from: Role];
const ofOrganizations: readonly Screen[] = [
  ["", "Overview", "api_user"],
  ["/audit", "Audit log", "admin"],
  ["/verify", "Verify the audit log", "admin"],
  ["/members", "Members", "viewer"],
  ["/roles", "Roles", "viewer"],
  ["/keys", "API keys", "admin"],
  ["/events", "Security events", "admin"],
  ["/mfa", "MFA", "admin"],
  ["/webhooks", "Webhooks", "admin"],
  ["/encryption", "Encryption", "admin"],
  ["/compliance", "Compliance", "admin"],
];
const ofProject: readonly Screen[] = [
  ["/project/metrics", "Metrics", "super_admin"],
  ["/project/rate-limits", "Rate limits", "super_admin"],
  ["/project/encryption", "Encryption", "super_admin"],
  ["/project/settings", "Settings", "super_admin"],
];

const chromium = browser ? await launch() : null;
const people = Object.fromEntries(
  await Promise.all(roles.map(async (role) => [role, await signUp(role)])),
) as Record<Role, Person>;
const bob = await signUp("bob");
let acme: string;
let globex: string;

Deno.test.beforeAll(async () => {
  await liftLimits();
  const organization = await createOrganization(people.admin);
  for (const role of ["api_user", "viewer", "analyst"] as const) {
    await join(people.admin, organization, people[role], role);
  }
  const slugOf = async ({ token }: Person, id: string) =>
    (await createBulwark(supabaseWith(token), { throwOnError: true }).organizations.get(id))!.slug;
  acme = await slugOf(people.admin, organization);
  globex = await slugOf(bob, await createOrganization(bob));
  const owner = connect(1);
  await owner`select bulwark.grant_role(${people.super_admin.id}, 'super_admin')`;
  await owner.end();
  await join(people.admin, organization, people.super_admin, "viewer");
  // The first request builds the console.
  await (await fetch(url)).body?.cancel();
});
Deno.test.afterAll(() => chromium?.close());

/** Goes to a screen, and says whether it is open, refused or missing. */
async function visit(page: Page, path: string, title: string): Promise<string> {
  await page.goto(`${url}/#${path}`);
  await holds(page, `document.title === ${JSON.stringify(`${title} · Bulwark`)}`);
  await holds(page, `document.querySelector("h1") && !document.querySelector("main .skeleton")`);
  const text = await page.locator("#main").innerText();
  return /This is not open to you/.test(text)
    ? "refused"
    : /There is nothing here/.test(text)
    ? "missing"
    : "open";
}

for (const role of roles) {
  Deno.test({
    name: `CONSOLE-E14: a ${role} opens the screens of the role, and none of another organization` +
      unless,
    ignore,
    async fn() {
      const may = (from: Role) => roles.indexOf(role) >= roles.indexOf(from);
      const { page, faults } = await openConsoleAs(chromium!, people[role], `/o/${acme}`);
      const found: string[] = [];
      const expected: string[] = [];
      for (const [path, title, from] of ofOrganizations) {
        const opened = await visit(page, `/o/${acme}${path}`, `${title} · ${acme}`);
        found.push(`${title}: ${opened}`);
        expected.push(`${title}: ${may(from) ? "open" : "refused"}`);

        const other = await visit(page, `/o/${globex}${path}`, title);
        assert.equal(other, "missing", `${title} of another organization`);
      }
      for (const [path, title, from] of ofProject) {
        found.push(`${title}: ${await visit(page, path, `${title} · Project`)}`);
        expected.push(`${title}: ${may(from) ? "open" : "refused"}`);
      }
      assert.deepEqual(found, expected);
      // The navigation offers those that are open, and nothing else.
      const offered = await page.evaluate(
        `[...document.querySelectorAll("nav[aria-label=Main] a")]
          .map((link) => link.getAttribute("href").replace("/#", ""))`,
      );
      assert.deepEqual(offered, [
        ...ofOrganizations.filter(([path, , from]) => path !== "/verify" && may(from))
          .map(([path]) => `/o/${acme}${path}`),
        ...ofProject.filter(([, , from]) => may(from)).map(([path]) => path),
        "/account",
      ]);
      assert.deepEqual(faults, []);
      await page.context().close();
    },
  });
}

/** Keeps when and with which question the page asks the project, by the page's own clock. */
const watchRequests = `{
  const send = fetch;
  window.asked = [];
  window.fetch = (input, init) => {
    const request = new Request(input, init);
    if (!request.url.includes("/auth/v1/")) {
      asked.push({ at: Date.now(), what: request.method + request.url + (init?.body ?? "") });
    }
    return send(input, init);
  };
}`;

/** Lets the clock of the page run for some seconds, with time for the answers in between. */
async function wait(page: Page, seconds: number): Promise<{ at: number; what: string }[]> {
  await page.evaluate("asked.length = 0");
  for (let second = 0; second < seconds; second++) {
    await page.clock.runFor(1000);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return await page.evaluate("asked") as { at: number; what: string }[];
}

Deno.test({
  name: "CONSOLE-E15: no screen asks the same more often than each 10 s, and none in a hidden tab" +
    unless,
  ignore,
  async fn() {
    const { page, faults } = await openConsoleAs(chromium!, people.super_admin, "/sign-in");
    await page.clock.install();
    await page.addInitScript(watchRequests);
    await page.reload();
    const screens = [
      ...ofOrganizations.map(([path, title]) => [`/o/${acme}${path}`, `${title} · ${acme}`]),
      ...ofProject.map(([path, title]) => [path, `${title} · Project`]),
    ];
    for (const [path = "", title = ""] of screens) {
      await visit(page, path, title);
      const asked = await wait(page, 35);
      assert.ok(asked.length > 0, `${title} is kept current`);
      for (const [what, times] of Map.groupBy(asked, (one) => one.what)) {
        const gaps = times.slice(1).map(({ at }, number) => at - times[number]!.at);
        assert.ok(gaps.every((gap) => gap >= 10_000), `${title}: ${what} after ${gaps} ms`);
      }
    }
    await page.evaluate(`{
      Object.defineProperty(document, "visibilityState", { value: "hidden" });
      document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
    }`);
    assert.deepEqual(await wait(page, 70), []);
    assert.deepEqual(faults, []);
    await page.context().close();
  },
});
