import assert from "node:assert/strict";
import { difference, mergeTexts } from "../../../cli/merge.ts";

const base = "one\ntwo\nthree\nfour\n";

Deno.test("mergeTexts() keeps changes of both sides, and equal ones once", () => {
  const mine = `zero\n${base.replace("two", "2")}`;
  const shipped = base.replace("two", "2").replace("four", "4");
  assert.deepEqual(mergeTexts(base, mine, shipped, "2"), {
    text: "zero\none\n2\nthree\n4\n",
    conflict: false,
  });
});

Deno.test("mergeTexts() marks a conflict, with who wrote which", () => {
  const { text, conflict } = mergeTexts(
    base,
    base.replace("two", "mine"),
    base.replace("two", "new"),
    "2",
  );
  assert.equal(conflict, true);
  assert.equal(
    text,
    "one\n<<<<<<< yours\nmine\n=======\nnew\n>>>>>>> Bulwark 2\nthree\nfour\n",
  );
});

Deno.test("mergeTexts() compares lines, whatever their ends, and keeps those of the user", () => {
  const mine = base.replace("one", "mine").replaceAll("\n", "\r\n");
  const { text, conflict } = mergeTexts(base, mine, base.replace("four", "4"), "2");
  assert.equal(conflict, false);
  assert.equal(text, "mine\r\ntwo\r\nthree\r\n4\r\n");
});

Deno.test("difference() shows lines with plus and minus", () => {
  assert.match(
    difference("a.ts", "one\ntwo\n", "one\n2\n"),
    /^--- a\.ts\tyours[\s\S]*^-two\n\+2$/m,
  );
});
