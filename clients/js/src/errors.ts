/** The codes of errors, and an English text for each. */
import type { BulwarkCode } from "./generated/codes.ts";
import { texts } from "./generated/texts.ts";

export type { BulwarkCode } from "./generated/codes.ts";
export { texts } from "./generated/texts.ts";

/** All codes. */
export const codes: readonly BulwarkCode[] = Object.keys(texts) as BulwarkCode[];

/** An English sentence about an error, for people. */
export function textOf({ code, message }: { code: BulwarkCode; message: string }): string {
  return Object.hasOwn(texts, code) ? texts[code] : message;
}
