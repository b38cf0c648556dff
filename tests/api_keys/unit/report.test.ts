import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { generateKeyPairSync, sign } from "node:crypto";
import { BulwarkError } from "../../../supabase/functions/_bulwark/foundation/errors.ts";
import { checksumOf, hashOf } from "../../../supabase/functions/_bulwark/api_keys/format.ts";
import type { FindScannerKey } from "../../../supabase/functions/_bulwark/api_keys/scanner_keys.ts";
import {
  isSmallReport,
  leakedKeys,
  signedBody,
} from "../../../supabase/functions/_bulwark/api_keys/report.ts";

const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
const pem = pair.publicKey.export({ type: "spki", format: "pem" }).toString();
const find = (name: string) => Promise.resolve(name === "current" ? pem : null);

const readReport = async (request: Request, findKey: FindScannerKey) =>
  leakedKeys(await signedBody(request, findKey));

const secret = "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJAB";
const key = `bwk_live_${secret}${checksumOf(secret)}`;

function report(body: string, { name = "current", signed = body } = {}): Request {
  return new Request("https://project.test/api-keys/report", {
    method: "POST",
    headers: {
      "Github-Public-Key-Identifier": name,
      "Github-Public-Key-Signature": sign("sha256", Buffer.from(signed), pair.privateKey)
        .toString("base64"),
    },
    body,
  });
}

async function codeOf(request: Request): Promise<string> {
  try {
    await readReport(request, find);
  } catch (thrown) {
    if (thrown instanceof BulwarkError) return thrown.code;
    throw thrown;
  }
  return "no error";
}

Deno.test("readReport() reads what is signed, and keeps keys by their checksum", async () => {
  const url = "https://github.com/acme/app/blob/main/.env";
  const body = JSON.stringify([
    { token: key, type: "bulwark_api_key", url, source: "content" },
    { token: `bwk_live_${"0".repeat(38)}`, type: "bulwark_api_key", url },
    { token: key, type: "bulwark_api_key", url: "", source: null, surplus: 1 },
  ]);
  assert.deepEqual(await readReport(report(body), find), [
    { key_hash: hashOf(key), url, source: "content" },
    { key_hash: hashOf(key), url: null, source: null },
  ]);
});

Deno.test("readReport() does not pass on an address that holds the key itself", async () => {
  for (
    const url of [
      `https://x.test/?key=${key}`,
      `https://x.test/?key=${encodeURIComponent(key).replace("_", "%5F")}`,
      `https://x.test/?key=${key.replace("live", "test")}`,
      `https://x.test/100%/?key=${key.replace("_", "%5F")}`,
      `https://x.test/?to=${encodeURIComponent(`/?key=${key.replaceAll("_", "%5f")}`)}`,
      `https://x.test/?key=${key.replace("_", `%${"25".repeat(400)}5F`)}`,
      `https://x.test/?key=${key.replace("_", "%%35F")}`,
    ]
  ) {
    const body = JSON.stringify([{ token: key, url, source: key }]);
    assert.deepEqual(await readReport(report(body), find), [
      { key_hash: hashOf(key), url: null, source: null },
    ]);
  }
});

Deno.test("readReport() refuses what is not signed by a known key, whatever it is", async () => {
  const body = JSON.stringify([{ token: key }]);
  assert.equal(await codeOf(report(body, { name: "another" })), "UNAUTHORIZED");
  assert.equal(await codeOf(report(body, { name: "../x" })), "UNAUTHORIZED");
  assert.equal(await codeOf(report(body, { signed: "[]" })), "UNAUTHORIZED");
  for (const signature of ["", "nonsense!", "AAAAAAAAAAAA", "MAYCAQACAQA="]) {
    const request = report(body);
    request.headers.set("github-public-key-signature", signature);
    assert.equal(await codeOf(request), "UNAUTHORIZED", signature);
  }
  const bare = new Request("https://project.test/", { method: "POST", body });
  assert.equal(await codeOf(bare), "UNAUTHORIZED");
});

Deno.test("readReport() reads no body that no known key has signed", async () => {
  for (const name of ["", "another", "../x"]) {
    let pulled = 0;
    const body = new ReadableStream({
      pull(controller) {
        pulled++;
        controller.enqueue(new Uint8Array(1024));
      },
    }, { highWaterMark: 0 });
    const headers = report("[]", { name }).headers;
    const request = new Request("https://project.test/", { method: "POST", headers, body });
    assert.equal(await codeOf(request), "UNAUTHORIZED");
    assert.equal(pulled, 0, name);
  }
});

Deno.test("readReport() says what is wrong with a signed body that is no report", async () => {
  assert.equal(await codeOf(report("{")), "INVALID_JSON");
  assert.equal(await codeOf(report("{}")), "INVALID_INPUT");
  assert.equal(await codeOf(report(`"${"x".repeat(1024 * 1024)}"`)), "BODY_TOO_LARGE");
});

Deno.test("readReport() leaves out what is no entry, and reads thousands of others", async () => {
  const strange = [1, null, {}, [], { token: 1 }, { token: "x".repeat(5000) }];
  const body = JSON.stringify([...strange, ...Array(10_000).fill({ token: key, url: 1 })]);
  const leaked = await readReport(report(body), find);
  assert.equal(leaked.length, 10_000);
  assert.deepEqual(leaked[0], { key_hash: hashOf(key), url: null, source: null });
});

Deno.test("readReport() takes the signature over the bytes that were sent", async () => {
  const body = JSON.stringify([{ token: key }]);
  for (const other of [` ${body}`, `${body}\n`, body.replace('":"', '": "')]) {
    assert.equal(await codeOf(report(other, { signed: body })), "UNAUTHORIZED");
  }
  assert.equal((await readReport(report(` ${body}`), find)).length, 1);
});

Deno.test("readReport() refuses a signature by another curve or hash", async () => {
  const body = JSON.stringify([{ token: key }]);
  const bytes = Buffer.from(body);
  const other = generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey;
  const signatures = {
    curve: sign("sha256", bytes, other),
    hash: sign("sha384", bytes, pair.privateKey),
  };
  for (const [name, signature] of Object.entries(signatures)) {
    const request = report(body);
    request.headers.set("github-public-key-signature", signature.toString("base64"));
    assert.equal(await codeOf(request), "UNAUTHORIZED", name);
  }
});

Deno.test("readReport() reads no more of a small report than that is", async () => {
  const large = report(" ".repeat(64 * 1024 + 1));
  assert.equal(isSmallReport(large), false, "without a length");
  assert.equal(await codeOf(large), "INVALID_JSON", "which is read");
  const said = report(" ".repeat(64 * 1024 + 1));
  said.headers.set("content-length", "10");
  assert.equal(isSmallReport(said), true);
  assert.equal(await codeOf(said), "BODY_TOO_LARGE");
});
