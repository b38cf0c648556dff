import assert from "node:assert/strict";
import { progressBar } from "./progress_bar.ts";

Deno.test("progressBar() is full when all is done and never overfull", () => {
  assert.equal(
    progressBar({ total: 2000, done: 500 }, 123.4),
    "[#######-----------------------] 25 %  500 of 2,000 rows, 123/s",
  );
  assert.match(progressBar({ total: 2, done: 3 }, 0), /^\[#{30}\] 100 %/);
  assert.match(progressBar({ total: 0, done: 0 }, 0), /^\[#{30}\] 100 %/);
});
