/** The verifier of exports, as programs call it. */
import assert from "node:assert/strict";
import { type ExportSource, verifyExport } from "../../../clients/js/src/audit.ts";
import {
  asBytes,
  exported,
  makeSample,
  organization,
  otherOrganization,
} from "../../../scripts/audit/sample.ts";

const sample = await makeSample([40, 2000, 30], { proofs: true });
const blob = (bytes: Uint8Array) => new Blob([bytes as BlobPart]);
const bytes = asBytes(sample.lines);
const keys = [sample.vkey];

async function* pieces(size: number) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size);
}

Deno.test("verifyExport() takes a file, a stream and anything that gives bytes, with one verdict", async () => {
  const sources: ExportSource[] = [
    blob(bytes),
    blob(bytes).stream(),
    pieces(10_007),
    ReadableStream.from(pieces(1_100_000)),
  ];
  for (const source of sources) {
    let last = { bytes: 0, entries: 0 };
    const verdict = await verifyExport(source, {
      keys,
      organization: organization.toUpperCase(),
      checkpoint: sample.note,
      onProgress: (progress) => last = progress,
    });
    const { outcome, entries, covered, findings, unproved, signers, checkpoint } = verdict;
    assert.deepEqual([outcome, entries, covered], ["intact", 2070, 2070]);
    assert.deepEqual([findings, unproved], [[], []]);
    assert.deepEqual(signers, [sample.vkey.split("+").slice(0, 2).join("+")]);
    assert.deepEqual([checkpoint?.origin, checkpoint?.size], ["sample.test/audit", 3]);
    assert.deepEqual(last, { bytes: bytes.length, entries: 2070 });
  }
});

Deno.test("a finding names the entry, the seal and the line", async () => {
  const lines = structuredClone(sample.lines);
  const line = lines.findIndex(({ type }, index) => type === "entry" && index > 1000);
  lines[line]!.severity = "debug";
  const { outcome, findings: [finding] } = await verifyExport(blob(asBytes(lines)), { keys });
  const { code, entry, seal } = finding!;
  assert.deepEqual([outcome, code, entry, seal, finding!.line], [
    "altered",
    "ENTRY_ALTERED",
    lines[line]!.id,
    2,
    line + 1,
  ]);
});

Deno.test("a part of the log is intact only if it was asked for, and a log only with its checkpoint", async () => {
  const part = blob(asBytes(await exported(sample.log, organization, { after: "1:40" })));
  const outcome = async (options: object) =>
    (await verifyExport(part, { keys, ...options })).outcome;
  assert.equal(await outcome({}), "unproved");
  assert.equal(await outcome({ after: "1:40" }), "intact");
  assert.equal(await outcome({ after: "1:40", organization: otherOrganization }), "unproved");
  assert.equal(await outcome({ after: "1:40", organization: null }), "unproved");
  const longer = await makeSample([40, 2000, 30, 1]);
  assert.equal(await outcome({ after: "1:40", checkpoint: longer.note }), "altered");
});

Deno.test("nothing is said about a log by wrong arguments or a damaged file", async () => {
  const other = await makeSample([1], { signer: { ...sample.signer, name: "other.test" } });
  const refused = async (
    code: string,
    options: object = {},
    source: ExportSource = blob(bytes),
  ) =>
    await assert.rejects(verifyExport(source, { keys, ...options }), {
      name: "VerificationError",
      code,
      message: /^Cannot /,
    });
  await refused("BAD_KEY", { keys: [] });
  await refused("BAD_KEY", { keys: ["sample.test/audit"] });
  await refused("WRONG_KEY", { keys: [other.vkey] });
  await refused("BAD_CHECKPOINT", { checkpoint: "" });
  await refused("BAD_CHECKPOINT", { checkpoint: other.note });
  await refused("BAD_PROOF", { checkpoint: sample.note, consistency: {} });
  await refused("BAD_OPTIONS", { consistency: {} });
  await refused("NOT_A_BUNDLE", {}, new Blob([]));
  await refused("BUNDLE_CUT", {}, blob(bytes.slice(0, 90_000)));
  await refused("BAD_OPTIONS", {}, ReadableStream.from(["text"]) as unknown as ExportSource);
});

Deno.test("a signal ends it at once, also while the source is silent, which is let go", async () => {
  const reason = new Error("enough");
  await assert.rejects(
    verifyExport(blob(bytes), { keys, signal: AbortSignal.abort(reason) }),
    reason,
  );
  const stop = new AbortController();
  let cancelled = false;
  const silent = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(bytes.slice(0, 5000)),
    cancel: () => void (cancelled = true),
  });
  const verified = verifyExport(silent, { keys, signal: stop.signal });
  setTimeout(() => stop.abort(reason), 20);
  await assert.rejects(verified, reason);
  assert.ok(cancelled);
  const between = new AbortController();
  await assert.rejects(
    verifyExport(pieces(1_100_000), {
      keys,
      signal: between.signal,
      onProgress: () => between.abort(reason),
    }),
    reason,
  );
});

Deno.test("what the source throws comes out, and a source that is not needed further is let go", async () => {
  const broken = new Error("unplugged");
  const failing = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.error(broken),
  });
  await assert.rejects(verifyExport(failing, { keys }), broken);
  let cancelled = false;
  const endless = new ReadableStream<Uint8Array>({
    pull: (controller) =>
      controller.enqueue(new TextEncoder().encode("no bundle\n".repeat(99_999))),
    cancel: () => void (cancelled = true),
  });
  await assert.rejects(verifyExport(endless, { keys }), { code: "MALFORMED_BUNDLE" });
  assert.ok(cancelled);
});

Deno.test("a runtime without Ed25519 is named, instead of a key that cannot be read", async () => {
  const missing = () => Promise.reject(new DOMException("Unrecognized name", "NotSupportedError"));
  Object.defineProperty(crypto.subtle, "importKey", { value: missing, configurable: true });
  try {
    await assert.rejects(verifyExport(blob(bytes), { keys }), { code: "NOT_SUPPORTED" });
  } finally {
    delete (crypto.subtle as Partial<SubtleCrypto>).importKey;
  }
  assert.equal((await verifyExport(blob(bytes), { keys })).outcome, "intact");
});
