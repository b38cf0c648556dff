/** Opens a page in Chromium with an empty profile. */
import { chromium } from "../../scripts/stack/binaries.ts";
import { quietly, withProfile } from "../../scripts/stack/profile.ts";

/** The path of Chromium; null where there is none (Debian: chromium). */
export const browser = chromium();

/** Serves pages, by path, opens `/` in a browser and waits for what it sends to `/result`. */
export async function visit<Result>(
  pages: Record<string, () => Response>,
): Promise<Result | { error: string }> {
  const { promise, resolve } = Promise.withResolvers<Result>();
  const page = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    const { pathname } = new URL(request.url);
    if (pathname !== "/result") {
      return pages[pathname]?.() ?? new Response(null, { status: 404 });
    }
    resolve(await request.json());
    return new Response(null, { status: 204 });
  });
  return await withProfile(async (profile) => {
    const process = new Deno.Command(browser!, {
      args: [...quietly(profile), `http://localhost:${page.addr.port}/`],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<{ error: string }>((done) => {
      timer = setTimeout(() => done({ error: "the page gave no result within 60 s" }), 60_000);
    });
    try {
      return await Promise.race([promise, late]);
    } finally {
      clearTimeout(timer);
      process.kill("SIGTERM");
      await process.status;
      await page.shutdown();
    }
  });
}

export function html(body: string): Response {
  return new Response(`<!doctype html><meta charset="utf-8">${body}`, {
    headers: { "content-type": "text/html; charset=utf-8" },
  });
}

export function javascript(source: string): Response {
  return new Response(source, { headers: { "content-type": "text/javascript; charset=utf-8" } });
}
