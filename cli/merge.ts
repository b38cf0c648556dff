import { createTwoFilesPatch } from "diff";
import { merge as mergeLines } from "node-diff3";

/** A merge of two changes of one text: theirs and the new version's. */
export interface Merge {
  /** The result; with conflicts it has markers. */
  text: string;
  conflict: boolean;
}

/** Merges line by line. Equal changes on both sides are no conflict. Line ends are as in `mine`. */
export function mergeTexts(base: string, mine: string, shipped: string, version: string): Merge {
  const lines = (text: string) => text.replaceAll("\r\n", "\n").split("\n");
  const { conflict, result } = mergeLines(lines(mine), lines(base), lines(shipped), {
    excludeFalseConflicts: true,
    label: { a: "yours", b: `Bulwark ${version}` },
  });
  return { conflict, text: result.join(mine.includes("\r\n") ? "\r\n" : "\n") };
}

/** The difference of two texts in the usual form. */
export function difference(path: string, before: string, after: string): string {
  const patch = createTwoFilesPatch(path, path, before, after, "yours", "new", { context: 3 });
  return patch.replace(/^=+\n/, "");
}
