import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "../stack/binaries.ts";
import { Failure } from "../stack/failure.ts";
import { quietly, withProfile } from "../stack/profile.ts";

/**
 * Prints a page as a PDF by Chromium, without a network.
 * @returns false where Chromium is not installed
 * @throws Failure NOT_PRINTED
 */
export async function printPdf(html: string, pdf: string): Promise<boolean> {
  const browser = chromium();
  if (browser === null) return false;
  return await withProfile(async (profile) => {
    const { success, stderr } = await new Deno.Command(browser, {
      args: [
        ...quietly(profile),
        "--proxy-server=127.0.0.1:1",
        "--no-pdf-header-footer",
        `--print-to-pdf=${resolve(pdf)}`,
        pathToFileURL(resolve(html)).href,
      ],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).output();
    const printed = success && (await Deno.stat(pdf).catch(() => null))?.size;
    if (printed) return true;
    const why = new TextDecoder().decode(stderr).trim().split("\n").at(-1);
    throw new Failure("NOT_PRINTED", `Cannot print ${pdf}: ${why}`);
  });
}
