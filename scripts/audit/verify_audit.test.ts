import assert from "node:assert/strict";
import { toBase64 } from "../../supabase/functions/_bulwark/foundation/bytes.ts";
import { merkleRoot } from "../../supabase/functions/_bulwark/audit/merkle.ts";
import { formatVerifierKey } from "../../supabase/functions/_bulwark/audit/note.ts";
import { inRepository } from "../stack/paths.ts";
import {
  asBytes,
  exported,
  makeSample,
  organization,
  otherOrganization,
  sampleSigner,
} from "./sample.ts";

const folder = await Deno.makeTempDir();
const sample = await makeSample([4, 5]);

const program = [
  "run",
  "--allow-all",
  "--no-check",
  `--config=${inRepository("deno.json")}`,
  inRepository("scripts", "verify_audit.ts"),
];
// A closed standard input must not look as if the parent had died.
const surroundings = {
  env: { NO_COLOR: "1", BULWARK_PARENT_PIPE: "" },
  stdin: "null",
} as const;

async function run(...args: string[]): Promise<{ code: number; text: string }> {
  const command = new Deno.Command(Deno.execPath(), {
    args: [...program, ...args],
    ...surroundings,
  });
  return textOf(await command.output());
}

/** Runs the program in a line of shell, where it is "$@". */
async function shell(line: string, ...args: string[]): Promise<{ code: number; text: string }> {
  const command = new Deno.Command("bash", {
    args: ["-c", line, "bash", Deno.execPath(), ...program, ...args],
    ...surroundings,
  });
  return textOf(await command.output());
}

function textOf({ code, stdout, stderr }: Deno.CommandOutput): { code: number; text: string } {
  return { code, text: [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("") };
}

async function write(name: string, content: Uint8Array | string): Promise<string> {
  const path = `${folder}/${name}`;
  await Deno.writeFile(
    path,
    typeof content === "string" ? new TextEncoder().encode(content) : content,
  );
  return path;
}

Deno.test("verify-audit ends with 0 for an intact log, also with the key and a checkpoint in files", async () => {
  const bundle = await write("good.ndjson", asBytes(sample.lines));
  const key = await write("key.txt", `${sample.vkey}\n`);
  const note = await write("kept.txt", sample.note);
  const { code, text } = await run(bundle, "--key", key, "--checkpoint", note);
  assert.equal(code, 0, text);
  assert.match(text, /^The log is intact\.\n {2}9 entries in 2 seals/);
});

Deno.test("verify-audit ends with 1 and names the entry for an altered log", async () => {
  const lines = structuredClone(sample.lines);
  lines[3]!.severity = "debug";
  const bundle = await write("altered.ndjson", asBytes(lines));
  const { code, text } = await run(bundle, "--key", sample.vkey);
  assert.equal(code, 1);
  assert.match(text, /NOT intact/);
  assert.ok(text.includes(`ENTRY_ALTERED: entry ${lines[3]!.id} (line 4)`), text);
});

Deno.test("verify-audit ends with 1 for a log shorter than a checkpoint kept elsewhere", async () => {
  const bundle = await write("short.ndjson", asBytes((await makeSample([4])).lines));
  const note = await write("kept.txt", sample.note);
  const { code, text } = await run(bundle, "--key", sample.vkey, "--checkpoint", note);
  assert.equal(code, 1);
  assert.match(text, /LOG_TRUNCATED/);
});

Deno.test("verify-audit ends with 0 for a part only where the part was asked for", async () => {
  const part = await write(
    "part.ndjson",
    asBytes(await exported(sample.log, organization, { after: "1:3", limit: 3 })),
  );
  const key = ["--key", sample.vkey];
  const range = ["--after", "1:3", "--until", "2:2"];
  for (const written of [organization, organization.toUpperCase()]) {
    assert.equal((await run(part, ...key, ...range, "--organization", written)).code, 0);
  }
  const cases: [string[], RegExp][] = [
    [[], /BEGINS_LATER[^]*ENDS_EARLY/],
    [range.slice(0, 2), /ENDS_EARLY/],
    [range.slice(2), /BEGINS_LATER/],
    [[...range.slice(0, 3), "2:1"], /NOT_AS_ASKED/],
    [[...range, "--organization", otherOrganization], /NOT_AS_ASKED/],
    [[...range, "--system"], /NOT_AS_ASKED/],
  ];
  for (const [args, message] of cases) {
    const { code, text } = await run(part, ...key, ...args);
    assert.equal(code, 2, text);
    assert.match(text, /^Not proved to be intact\.\n/);
    assert.match(text, message);
  }
});

Deno.test("verify-audit ends with 0 for a period only where the seals beside it prove it", async () => {
  // The sample makes an entry each millisecond; its two seals are of the fourth and the ninth.
  const at = (millisecond: number) => new Date(1795456800000 + millisecond).toISOString();
  const bundle = await write("good.ndjson", asBytes(sample.lines));
  const later = await write(
    "later.ndjson",
    asBytes(await exported(sample.log, organization, { after: "1:3", limit: 5 })),
  );
  const key = ["--key", sample.vkey];
  const whole = await run(bundle, ...key, "--period", `${at(1)}/${at(5)}`);
  assert.equal(whole.code, 0, whole.text);
  assert.match(whole.text, /its last entry was sealed at 2026-11-\S+Z\n/);
  // Its first entry belongs to the period, so that an earlier one could be missing.
  const early = await run(later, ...key, "--period", `${at(-1000)}/${at(5)}`);
  assert.deepEqual([early.code, /BEGINS_LATER/.test(early.text)], [2, true], early.text);
  const future = await run(bundle, ...key, "--period", `${at(1)}/2999-01-01`);
  assert.deepEqual([future.code, /ENDS_EARLY/.test(future.text)], [2, true], future.text);
  for (const wrong of ["2026-10", "/", "2026-11-01/2026-10-01", "2026-02-30/2026-03-01", "a/b"]) {
    const { code, text } = await run(bundle, ...key, "--period", wrong);
    assert.deepEqual([code, /--period needs two times/.test(text)], [2, true], text);
  }
});

Deno.test("verify-audit compares with an older checkpoint only by a proof", async () => {
  const bundle = await write("good.ndjson", asBytes(sample.lines));
  const older = await makeSample([4]);
  const kept = await write("older.txt", older.note);
  const args = [bundle, "--key", sample.vkey, "--checkpoint", kept];
  const open = await run(...args);
  assert.equal(open.code, 2);
  assert.match(open.text, /NOT_COMPARED/);
  const [first, second] = sample.log.seals.map(({ leaf }) => leaf);
  const proof = {
    from_size: 1,
    to_size: 2,
    from_root: toBase64(first!),
    to_root: toBase64(await merkleRoot([first!, second!])),
    path: [toBase64(second!)],
  };
  const compare = async (value: unknown) => {
    const file = await write("proof.json", JSON.stringify(value));
    return (await run(...args, "--consistency", file)).code;
  };
  assert.equal(await compare(proof), 0);
  assert.equal(await compare({ ...proof, path: [] }), 1);
  assert.equal(await compare({ ...proof, path: [toBase64(first!)] }), 1);
  assert.equal(await compare({ ...proof, to_root: proof.from_root }), 1);
  // A proof between other sizes says nothing about these.
  for (const sizes of [{ from_size: 0 }, { from_size: 2 }, { to_size: 1 }, { to_size: 3 }]) {
    assert.equal(await compare({ ...proof, ...sizes }), 2);
  }
  for (const wrong of [null, 1, [], {}, { ...proof, path: ["AAAA"] }, { ...proof, surplus: 1 }]) {
    assert.equal(await compare(wrong), 2);
  }
});

Deno.test("verify-audit ends with 2 and one line where nothing can be said", async () => {
  const bytes = asBytes(sample.lines);
  const bundle = await write("good.ndjson", bytes);
  const half = await write("half.ndjson", bytes.slice(0, bytes.length / 2));
  const wrong = await formatVerifierKey(await sampleSigner(9));
  const cases: [string[], RegExp][] = [
    [[], /One bundle is needed/],
    [[bundle], /A public key is needed/],
    [[bundle, "--key", "nonsense"], /Cannot read the key/],
    [[bundle, "--key", wrong], /signed by none of the keys/],
    [[half, "--key", sample.vkey], /Cannot verify: /],
    [[`${folder}/none`, "--key", sample.vkey], /no such file/],
    // It opens, but cannot be read: this must not end with 1 like a finding.
    [[folder, "--key", sample.vkey], /^Cannot read .*: Is a directory/],
    [[bundle, "--key", sample.vkey, "--checkpoint", half], /Cannot use/],
    [[bundle, "--key", sample.vkey, "--key", sample.vkey], /two of the keys given/],
    [[bundle, "--key", sample.vkey, "--consistency", half], /without --checkpoint/],
    [[bundle, "--key", sample.vkey, "--period", "/2026-11-01", "--after", "1:3"], /excludes/],
    [[bundle, "--key", sample.vkey, "--system", "--organization", "x"], /exclude each other/],
  ];
  for (const [args, message] of cases) {
    const { code, text } = await run(...args);
    assert.equal(code, 2, text);
    assert.match(text, message);
    assert.equal(text.trim().split("\n").length, 1, text);
  }
});

Deno.test("verify-audit ends with 2 where its verdict cannot be written, and is quiet where nobody reads", async () => {
  const bundle = await write("good.ndjson", asBytes(sample.lines));
  const args = [bundle, "--key", sample.vkey];
  const lost = await shell('"$@" > /dev/full', ...args);
  assert.deepEqual([lost.code, lost.text.trim().split("\n").length], [2, 1]);
  assert.match(lost.text, /^Cannot write the verdict: No space left/);
  assert.deepEqual(await shell('"$@" > /dev/full 2>&1', ...args), { code: 2, text: "" });
  const refused = await shell('"$@" 2> /dev/full', `${folder}/none`, "--key", sample.vkey);
  assert.equal(refused.code, 2);
  const unread = await shell('"$@" | true; exit "${PIPESTATUS[0]}"', ...args);
  assert.deepEqual(unread, { code: 0, text: "" });
});

Deno.test("verify-audit reads pipes and links, and stops when it is told to", async () => {
  const bundle = await write("good.ndjson", asBytes(sample.lines));
  const key = ["--key", sample.vkey];
  const piped = await shell('"$@" <(cat "$BUNDLE")'.replace("$BUNDLE", bundle), ...key);
  assert.equal(piped.code, 0, piped.text);
  await Deno.symlink(bundle, `${folder}/link`);
  assert.equal((await run(`${folder}/link`, ...key)).code, 0);
  await Deno.symlink("loop", `${folder}/loop`);
  for (const path of ["loop", "good.ndjson/below", "n".repeat(5000)]) {
    assert.equal((await run(`${folder}/${path}`, ...key)).code, 2);
  }
  // Nobody ever writes into this one; the program waits for its first byte.
  const waiting =
    'mkfifo "$FIFO"; exec 3<> "$FIFO"; "$@" "$FIFO" 3<&- & sleep 1; kill -TERM $!; wait $!';
  const stopped = await shell(waiting.replaceAll("$FIFO", `${folder}/fifo`), ...key);
  assert.equal(stopped.code, 143, stopped.text);
});

Deno.test("verify-audit shows no text of a bundle that a terminal might obey", async () => {
  const [header, ...rest] = sample.lines;
  for (const name of ["\u001b[2J\nThe log is intact.", "\u202e", "\u009b2J"]) {
    for (const altered of [{ ...header, [name]: 1 }, { ...header, previous: { [name]: 1 } }]) {
      const bundle = await write("odd.ndjson", asBytes([altered, ...rest]));
      const { code, text } = await run(bundle, "--key", sample.vkey);
      assert.equal(code, 2);
      assert.match(text, /^Cannot verify: [ -~]+\n$/);
    }
  }
});

addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));
