import assert from "node:assert/strict";
import encodeQR from "qr";
import decodeQR from "qr/decode.js";
import { qrSvg } from "../../../supabase/functions/_bulwark/mfa/qr.ts";

const uri = "otpauth://totp/Bulwark:ada%40example.com?issuer=Bulwark&secret=JBSWY3DPEHPK3PXP";

Deno.test("qrSvg() is one SVG document without script, style or anything from elsewhere", () => {
  const svg = qrSvg(uri);
  assert.match(svg, /^<svg [^>]*xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
  assert.match(svg, /<\/svg>$/);
  assert.doesNotMatch(svg, /<script|<style|href|url\(/);
  assert.equal((svg.match(/https?:/g) ?? []).length, 1);
});

Deno.test("what is drawn can be read back by a decoder", () => {
  const modules = encodeQR(uri, "raw", { ecc: "medium", border: 4 });
  const scale = 4;
  const size = modules.length * scale;
  const data = new Uint8Array(size * size * 4).fill(255);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      if (!modules[Math.floor(y / scale)]?.[Math.floor(x / scale)]) continue;
      data.fill(0, (y * size + x) * 4, (y * size + x) * 4 + 3);
    }
  }
  assert.equal(decodeQR({ width: size, height: size, data }), uri);
  const svg = qrSvg(uri);
  assert.ok(svg.includes(`viewBox="0 0 ${modules.length} ${modules.length}"`));
  // The SVG draws the decoded modules.
  const drawn = modules.map((row) => row.map(() => false));
  for (const [, x, y, width] of svg.matchAll(/M(\d+) (\d+)h(\d+)v1H/g)) {
    for (let n = 0; n < Number(width); n++) drawn[Number(y)]![Number(x) + n] = true;
  }
  assert.deepEqual(drawn, modules);
});

Deno.test("qrSvg() has a size, a background and a title of its own", () => {
  const svg = qrSvg(uri);
  assert.match(svg, /^<svg [^>]*width="(\d+)" height="\1" [^>]*role="img"/);
  assert.match(svg, /<title>[^<]+<\/title><path fill="#fff"/);
});
