/** The answers with proofs; `proof.types.ts` is generated from them. Hashes are base64. */
import { z } from "zod";
import { id } from "../foundation/input.ts";

const hashes = () => z.array(z.string());
const position = () => z.int().min(0);
const microseconds = () => z.int().describe("Microseconds since 2000-01-01T00:00:00Z.");

/** Proves that an entry is in the log. */
export const inclusionProof = () =>
  z.object({
    entry: z.object({
      id,
      organization_id: id.nullable(),
      timeline: z.int(),
      xid: z.string().describe("The transaction id, a decimal number of up to 64 bits."),
      occurred_at: z.string()
        .describe("RFC 3339 in UTC with microseconds, for people; occurred_at_us is hashed."),
      occurred_at_us: microseconds(),
      source: z.string(),
      severity: z.string(),
      result: z.string(),
      event_type: z.string(),
      resource_type: z.string().nullable(),
      salt: z.string().optional().describe("A UUID whose 16 bytes blind the commitment."),
      payload: z.string().optional().describe(
        "The exact JSON text that was committed to. Parse it to read it; never serialize it again.",
      ),
      commitment: z.string().optional().describe("Left of a payload that was removed."),
      removed_by: id.optional().describe("The record of the removal."),
      leaf: z.string().nullable().optional()
        .describe("The leaf that was sealed here: it shows whether the entry was altered."),
    }),
    entry_index: position(),
    entry_path: hashes(),
    group: z.object({
      organization_id: id.nullable(),
      seal: position(),
      entry_count: position(),
      entries_before: position()
        .describe("Number of the organization's entries in all earlier groups."),
      previous: z.string()
        .describe("Hash of the organization's previous group; 32 zero bytes for its first."),
      root: z.string().describe("RFC 6962 root over the leaves of the entries."),
    }),
    group_index: position(),
    group_count: position(),
    group_path: hashes(),
    seal: z.object({
      number: position(),
      previous_hash: z.string(),
      root: z.string(),
      timeline: z.int(),
      sealed_at: z.string(),
      sealed_at_us: microseconds(),
      snapshot: z.string(),
      through: z.string().nullable().describe(
        "Hash of its last entry's position if the next seal continues it; null: it holds the rest.",
      ),
      hash: z.string(),
    }),
    tree_index: position(),
    tree_size: position(),
    tree_path: hashes(),
    tree_root: z.string(),
    checkpoint: z.string().nullable()
      .describe("The signed note about the tree; null if no checkpoint covers the entry yet."),
  });

/** Proves that the log of `to_size` seals extends that of `from_size` seals. */
export const consistencyProof = () =>
  z.object({
    from_size: position(),
    to_size: position(),
    from_root: z.string(),
    to_root: z.string(),
    path: hashes(),
  });
