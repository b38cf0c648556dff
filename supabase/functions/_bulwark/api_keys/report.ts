import { Buffer } from "node:buffer";
import { verify } from "node:crypto";
import { z } from "zod";
import { BulwarkError } from "../foundation/errors.ts";
import { readBody } from "../foundation/http.ts";
import { parse } from "../foundation/input.ts";
import { hashOf, isApiKey } from "./format.ts";
import type { FindScannerKey } from "./scanner_keys.ts";

/** One leaked key, by its hash, and where it was found. */
export type LeakedKey = { key_hash: string; url: string | null; source: string | null };

const report = z.array(z.unknown());
const entry = z.object({
  token: z.string().refine(isApiKey),
  url: z.string().nullable().catch(null).default(null),
  source: z.string().regex(/^[\w .-]{1,64}$/).nullable().catch(null).default(null),
});
/** Largest report that is read before the sender is charged, in bytes. */
const smallReport = 64 * 1024;
/** Stored length of an address, the maximum of an event. */
const longestUrl = 500;
/** Any text in the form of a key, valid or not. */
const keyLike = /[a-z]{2,12}_[a-z]{2,12}_[0-9A-Za-z]{38}/;

/** Whether `Content-Length` declares a small report; no more than that is read. */
export function isSmallReport(request: Request): boolean {
  return Number(request.headers.get("content-length") || Infinity) <= smallReport;
}

/**
 * The body of a report of leaked keys, signed as in GitHub's secret scanning partner program: ECDSA
 * on P-256 with SHA-256 over the body's bytes (headers `Github-Public-Key-Identifier` and
 * `Github-Public-Key-Signature`, base64 of DER). The body is read only if both headers are present
 * and the public key is known.
 * @throws BulwarkError 401 UNAUTHORIZED without a valid signature of a known key; 400, 413 for an
 * unreadable body
 */
export async function signedBody(request: Request, findKey: FindScannerKey): Promise<Uint8Array> {
  const identifier = request.headers.get("github-public-key-identifier") ?? "";
  const signature = request.headers.get("github-public-key-signature") ?? "";
  const isFormed = /^[\w-]{1,128}$/.test(identifier) &&
    /^[A-Za-z0-9+/]{8,200}={0,2}$/.test(signature);
  const key = isFormed ? await findKey(identifier) : null;
  const body = key && await readBody(request, isSmallReport(request) ? smallReport : undefined);
  if (!body || !isSigned(body, signature, key)) {
    throw new BulwarkError(401, "UNAUTHORIZED", "Cannot take the report: it is not signed");
  }
  return body;
}

/**
 * The keys in a report, a JSON array of `{ token, type, url, source }`. Entries without a valid
 * checksum are skipped.
 * @throws BulwarkError 400 for a body that is no report
 */
export function leakedKeys(body: Uint8Array): LeakedKey[] {
  let given: unknown;
  try {
    given = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    throw new BulwarkError(400, "INVALID_JSON", "Cannot read the request: it is not JSON in UTF-8");
  }
  return parse(report, given).flatMap((one) => {
    const { data } = entry.safeParse(one);
    if (!data) return [];
    const { token, url, source } = data;
    // Addresses may contain the key. It is removed before the address is cut to its stored length,
    // since a cut key would not be recognized.
    const harmless = url && !keyLike.test(decoded(url.slice(0, 2 * longestUrl)));
    return [{
      key_hash: hashOf(token),
      url: harmless ? url.slice(0, longestUrl) : null,
      source: source !== null && keyLike.test(source) ? null : source,
    }];
  });
}

function isSigned(body: Uint8Array, signature: string, key: string): boolean {
  try {
    return verify("sha256", body, key, Buffer.from(signature, "base64"));
  } catch {
    // The signature is not DER.
    return false;
  }
}

/**
 * Decodes every %xx of ASCII in a text, also where it is encoded more than once. One pass suffices,
 * since decoding can only complete a sequence at its end. decodeURIComponent() would fail on a
 * single invalid %.
 */
function decoded(text: string): string {
  const characters: string[] = [];
  for (let at = 0; at < text.length; at++) {
    characters.push(text.charAt(at));
    while (characters.at(-3) === "%") {
      const code = `${characters.at(-2)}${characters.at(-1)}`;
      if (!/^[0-7][\da-f]$/i.test(code)) break;
      characters.length -= 3;
      characters.push(String.fromCharCode(parseInt(code, 16)));
    }
  }
  return characters.join("");
}
