/** The answers with proofs. Hashes are base64. */
import { z } from "zod";
import { id } from "../foundation/input.ts";

const hashes = () => z.array(z.string());
const position = () => z.int().min(0);

/** Proves that an entry is in the log. */
export const inclusionProof = () =>
  z.object({
    entry: z.object({
      id,
      organization_id: id.nullable(),
      timeline: z.int(),
      xid: z.string(),
      occurred_at: z.string(),
      occurred_at_us: z.int(),
      source: z.string(),
      severity: z.string(),
      result: z.string(),
      event_type: z.string(),
      resource_type: z.string().nullable(),
      salt: z.string().optional(),
      payload: z.string().optional(),
      commitment: z.string().optional().describe("Left of a payload that was removed."),
      removed_by: id.optional(),
      leaf: z.string().nullable().optional(),
    }),
    entry_index: position(),
    entry_path: hashes(),
    group: z.object({
      organization_id: id.nullable(),
      seal: position(),
      entry_count: position(),
      entries_before: position(),
      previous: z.string(),
      root: z.string(),
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
      sealed_at_us: z.int(),
      snapshot: z.string(),
      through: z.string().nullable(),
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
