import assert from "node:assert/strict";
import { rightGuesses } from "./refusals.ts";

Deno.test("rightGuesses() is a coin's for the same times and certain for times apart", () => {
  assert.equal(rightGuesses([1, 2, 3], [1, 2, 3]), 0.5);
  assert.equal(rightGuesses([5, 5, 5], [5, 5]), 0.5);
  assert.equal(rightGuesses([4, 5, 6], [1, 2, 3]), 1);
  assert.equal(rightGuesses([1, 2, 3], [4, 5, 6]), 1, "whichever is the later");
  assert.equal(rightGuesses([1, 4], [2, 3]), 0.5);
  assert.equal(rightGuesses([1, 3], [2]), 0.5);
  assert.equal(rightGuesses([2, 3], [1, 2]), 0.875, "equal times count half");
});
