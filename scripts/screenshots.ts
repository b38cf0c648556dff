/**
 * `npm run screenshots`: makes README's pictures from the running console, in light and dark, of a
 * project that has been in use for three weeks. Needs Chromium (Debian: chromium).
 */
import { Buffer } from "node:buffer";
import { chromium as browsers, type Page } from "playwright-core";
import { type Demo, startDemo } from "./screenshots/demo.ts";
import { chromium } from "./stack/binaries.ts";
import { parseArguments } from "./stack/arguments.ts";
import { Failure } from "./stack/failure.ts";
import { main } from "./stack/main.ts";
import { inRepository } from "./stack/paths.ts";
import { makeScratchFolder } from "./stack/scratch.ts";

/** A picture: the path of its screen, and how the screen becomes worth a picture. */
interface Picture {
  name: string;
  path: string;
  prepare(page: Page): Promise<void>;
}

const limit = 150_000;

await main(async () => {
  parseArguments({}, "npm run screenshots");
  const executablePath = chromium();
  if (!executablePath) {
    throw new Failure("NO_CHROMIUM", "Cannot take pictures: Chromium is missing");
  }
  const scratch = await makeScratchFolder("screenshots");
  try {
    const demo = await startDemo(scratch.path);
    const browser = await browsers.launch({
      executablePath,
      args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
    });
    try {
      await Deno.mkdir(inRepository("docs", "images"), { recursive: true });
      for (const picture of picturesOf(demo)) {
        for (const theme of ["light", "dark"] as const) {
          const localStorage = [
            { name: "bulwark-session", value: JSON.stringify(demo.session) },
            { name: "theme", value: theme },
          ];
          const context = await browser.newContext({
            viewport: { width: 1280, height: 800 },
            deviceScaleFactor: 2,
            reducedMotion: "reduce",
            locale: "en-US",
            storageState: { cookies: [], origins: [{ origin: demo.stack.url, localStorage }] },
          });
          const page = await context.newPage();
          page.setDefaultTimeout(120_000);
          await page.goto(`${demo.stack.url}/#${picture.path}`);
          await picture.prepare(page);
          await keep(page, `${picture.name}-${theme}`);
          await context.close();
        }
      }
    } finally {
      await browser.close();
      await demo.stop();
    }
  } finally {
    await scratch.remove();
  }
});

function picturesOf({ slug }: Demo): Picture[] {
  return [
    {
      name: "audit-log",
      path: `/o/${slug}/audit`,
      async prepare(page) {
        const invoices = page.getByRole("row").filter({ hasText: "public.invoices" });
        await invoices.getByRole("button", { name: "data.update" }).first().click();
        await page.getByRole("dialog").getByText("approved").waitFor();
      },
    },
    {
      name: "verification",
      path: `/o/${slug}/verify`,
      async prepare(page) {
        await page.getByRole("button", { name: "Verify the whole log" }).click();
        await page.locator("[data-outcome=intact]").waitFor();
      },
    },
    {
      name: "overview",
      path: `/o/${slug}`,
      async prepare(page) {
        await page.getByText("Webhooks").first().waitFor();
        await settled(page);
      },
    },
    {
      name: "roles",
      path: `/o/${slug}/roles`,
      async prepare(page) {
        await page.getByText("audit:read", { exact: true }).waitFor();
      },
    },
  ];
}

/** Waits until nothing on the screen is still unknown. */
async function settled(page: Page): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    if (await page.getByText("Loading", { exact: true }).count() === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Failure("NOT_LOADED", "Cannot take a picture: the screen goes on loading");
}

/** Keeps what is seen as WebP. */
async function keep(page: Page, name: string): Promise<void> {
  await page.mouse.move(0, 0);
  await settled(page);
  const session = await page.context().newCDPSession(page);
  const { data } = await session.send("Page.captureScreenshot", { format: "webp", quality: 82 });
  const picture = Buffer.from(data, "base64");
  if (picture.length > limit) {
    throw new Failure("TOO_LARGE", `Cannot keep ${name}: it has ${picture.length} bytes`);
  }
  await Deno.writeFile(inRepository("docs", "images", `${name}.webp`), picture);
  console.log(`docs/images/${name}.webp  ${Math.round(picture.length / 1000)} kB`);
}
