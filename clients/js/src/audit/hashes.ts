import { groupBytes } from "../../../../supabase/functions/_bulwark/audit/bytes.ts";
import { concat } from "../../../../supabase/functions/_bulwark/foundation/bytes.ts";
import type { AuditGroup } from "../../../../supabase/functions/_bulwark/audit/records.ts";
import { sha256Into } from "./sha256.ts";

/** SHA-256, synchronous. */
export function sha256(bytes: Uint8Array): Uint8Array {
  const hash = new Uint8Array(32);
  sha256Into(hash, 0, bytes);
  return hash;
}

/** The hash of a group, synchronous. */
export function groupHash(group: AuditGroup): Uint8Array {
  return sha256(concat(Uint8Array.of(0), groupBytes(group)));
}
