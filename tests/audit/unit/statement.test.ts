import assert from "node:assert/strict";
import { toBase64 } from "../../../supabase/functions/_bulwark/foundation/bytes.ts";
import { readSigningKeys, writerSecret } from "../../../supabase/functions/_bulwark/audit/keys.ts";
import {
  formatCheckpoint,
  openCheckpoint,
  parseCheckpoint,
  signNote,
} from "../../../supabase/functions/_bulwark/audit/note.ts";
import {
  exportKey,
  type ExportStatement,
  formatStatement,
  openStatement,
  parseStatement,
  signStatement,
} from "../../../supabase/functions/_bulwark/audit/statement.ts";

const origin = "example.test/audit";
const [key] = await readSigningKeys(toBase64(new Uint8Array(32).fill(1)), origin);
const signer = key!;
const hash = new Uint8Array(32).fill(7);
const statement: ExportStatement = {
  origin,
  organization: "0b8f6a52-6f5e-4c39-9a43-0f4c5d8d2f10",
  after: "3:2",
  cursor: "7:9",
  isEnd: true,
  entries: 17,
  groups: 4,
  lastGroup: hash,
  tree: { size: 9, root: hash },
  bytes: 1234,
  digest: hash,
};

Deno.test("a statement opens with the log's key and says what was signed", async () => {
  const none = {
    ...statement,
    organization: null,
    after: null,
    cursor: null,
    isEnd: false,
    lastGroup: null,
    tree: null,
  };
  for (const stated of [statement, none]) {
    assert.deepEqual(await openStatement(await signStatement(stated, [signer]), [signer]), stated);
  }
});

Deno.test("a statement is taken for no checkpoint, and a checkpoint for no statement", async () => {
  const note = await signStatement(statement, [signer]);
  const checkpoint = await signNote(formatCheckpoint({ origin, size: 9, root: hash }), [signer]);
  await assert.rejects(openCheckpoint(note, [signer]), { problem: "unknown_key" });
  await assert.rejects(openStatement(checkpoint, [signer]), { problem: "unknown_key" });
  // Neither with the other name in the signature line, nor if the key's holder mixes the names up.
  const text = formatStatement(statement);
  assert.throws(() => parseCheckpoint(text), { problem: "malformed" });
  await assert.rejects(openCheckpoint(await signNote(text, [signer]), [signer]), {
    problem: "malformed",
  });
  const mixed = await signNote(formatCheckpoint({ origin, size: 9, root: hash }), [
    exportKey(signer),
  ]);
  await assert.rejects(openStatement(mixed, [signer]), { problem: "malformed" });
  assert.ok(!note.includes(await writerSecret(signer)));
});

Deno.test("a statement of another log by the same key is not this log's", async () => {
  const [other] = await readSigningKeys(toBase64(new Uint8Array(32).fill(1)), "elsewhere.test");
  const foreign = await signNote(formatStatement({ ...statement, origin: "elsewhere.test" }), [
    exportKey(signer),
  ]);
  await assert.rejects(openStatement(foreign, [signer]), { problem: "unknown_key" });
  await assert.rejects(openStatement(await signStatement(statement, [other!]), [signer]), {
    problem: "unknown_key",
  });
});

Deno.test("a statement has one spelling", () => {
  const text = formatStatement(statement);
  assert.deepEqual(parseStatement(text), statement);
  for (
    const wrong of [
      text.slice(0, -1),
      `${text}\n`,
      `${text}surplus yes\n`,
      text.replace("entries 17", "entries 017"),
      text.replace("entries 17", "entries 17.0"),
      text.replace("entries 17", "entries -1"),
      text.replace("entries 17", "entries NaN"),
      text.replace("entries 17", "entries 1e999"),
      text.replace("entries 17\n", ""),
      text.replace("entries 17\n", "entries 17\nentries 17\n"),
      text.replace("end yes", "end YES"),
      text.replace("end yes", "end maybe"),
      text.replace("tree 9 ", "tree 9  "),
      text.replace("tree 9 ", "tree "),
      text.replace("export 1", "export 2"),
      text.replace(/sha256 .*/, "sha256 AAAA"),
    ]
  ) {
    assert.throws(() => parseStatement(wrong), { problem: "malformed" }, JSON.stringify(wrong));
  }
});
