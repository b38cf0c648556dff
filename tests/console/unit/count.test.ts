import assert from "node:assert/strict";
import { count } from "../../../console/src/ui/count.ts";

Deno.test("count() writes one and several, and that a full page may not be all", () => {
  const keys = (amount: number, most?: number) => count(amount, "key ends", "keys end", most);
  assert.deepEqual([0, 1, 2].map((amount) => keys(amount)), [
    "0 keys end",
    "1 key ends",
    "2 keys end",
  ]);
  const thousand = new Intl.NumberFormat().format(1000);
  assert.equal(keys(1000, 1000), `${thousand} keys end or more`);
  assert.equal(keys(999, 1000), "999 keys end");
});
