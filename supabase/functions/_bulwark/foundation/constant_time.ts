import { timingSafeEqual } from "node:crypto";
import { utf8 } from "./bytes.ts";

/**
 * Whether two secrets are equal, in a time that depends only on their lengths. If lengths are
 * secret, compare digests.
 */
export function constantTimeEqual(a: string | Uint8Array, b: string | Uint8Array): boolean {
  const [one, other] = [a, b].map((value) => typeof value === "string" ? utf8(value) : value);
  return one!.length === other!.length && timingSafeEqual(one!, other!);
}
