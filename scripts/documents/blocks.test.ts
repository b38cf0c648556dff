/** A page cannot have a block that nobody runs or examines without saying why. */
import assert from "node:assert/strict";
import { blocksOf, Unclear } from "./blocks.ts";

const fence = (language: string, text = "x", comment = "") =>
  `${comment}\n\`\`\`${language}\n${text}\n\`\`\`\n`;
const kinds = (page: string) => blocksOf(page).map(({ kind }) => kind);

Deno.test("DOCS-20: a block that would not be run is refused", () => {
  const output = fence("text");
  for (
    const page of [
      fence(""),
      fence("bash"),
      fence("SQL"),
      fence("typescript"),
      fence("html"),
      "Text:\n\n    npm start\n",
      "- Item:\n\n      npm start\n",
      // An output of nothing, or of a block before that is not run.
      output,
      fence("sh", "x", "<!-- docs: skip: why -->") + output,
      fence("json", "{}") + output,
      fence("sql") + fence("text", "…"),
      fence("sh", "x", "<!-- docs: skip -->"),
      fence("sh", "x", "<!-- docs: skip: -->"),
      fence("sh", "x", "<!-- docs: ignore: why -->"),
      "<!-- docs: skip: why -->\n\nText.\n",
    ]
  ) assert.throws(() => blocksOf(page), Unclear, page);
});

Deno.test("DOCS-21: other blocks are run, compared, or left out with a reason", () => {
  assert.deepEqual(kinds(fence("sql") + fence("text")), ["run", "output"]);
  assert.deepEqual(kinds(fence("text", "x", "<!-- docs: skip: a format -->")), ["skip"]);
  assert.deepEqual(kinds(fence("html", "<p>", "<!-- docs: check: a test -->")), ["check"]);
  assert.deepEqual(kinds("1. Run:\n\n   ```sh\n   npm start\n   ```\n"), ["run"]);
});
