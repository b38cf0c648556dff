import { sameBytes, toBase64 } from "../../../../supabase/functions/_bulwark/foundation/bytes.ts";
import type { Checkpoint } from "../../../../supabase/functions/_bulwark/audit/note.ts";
import { verifyConsistency } from "../../../../supabase/functions/_bulwark/audit/proof.ts";
import type { ConsistencyProof } from "../../../../supabase/functions/_bulwark/audit/records.ts";
import type { Finding } from "./verdict.ts";

/** The checkpoints cannot be compared. */
export interface NotCompared {
  code: "NOT_COMPARED";
  message: string;
}

/**
 * Compares the checkpoint of a bundle with one that was kept elsewhere: a finding, a reason why it
 * is not proved, or null. Without a consistency proof only equal sizes can be compared.
 */
export async function compareWithKept(
  own: Checkpoint | null,
  kept: Checkpoint,
  proof: ConsistencyProof | null,
): Promise<Finding | NotCompared | null> {
  if (!own) {
    const message = "no signed checkpoint of the bundle says how old its end is, to compare it " +
      "with the one that was kept";
    return { code: "NOT_COMPARED", message };
  }
  if (own.origin !== kept.origin) {
    return {
      code: "LOG_FORKED",
      message: `the bundle is of log ${own.origin}, the checkpoint of ${kept.origin}`,
    };
  }
  if (own.size < kept.size) {
    return {
      code: "LOG_TRUNCATED",
      message:
        `the bundle's log has ${own.size} seals where ${kept.size} were signed: it is older ` +
        "than the checkpoint, or its tail was cut off; export it anew",
    };
  }
  if (own.size === kept.size) return sameBytes(own.root, kept.root) ? null : forked(kept);
  // Every log extends the empty one.
  if (kept.size === 0) return null;
  if (proof?.from_size !== kept.size || proof.to_size !== own.size) {
    const given = proof ? `, not one from ${proof.from_size} to ${proof.to_size}` : "";
    return {
      code: "NOT_COMPARED",
      message: `whether the ${kept.size} seals signed before are unchanged: give --consistency ` +
        `with the answer of /audit/proof/consistency?from=${kept.size}&to=${own.size}${given}`,
    };
  }
  const fits = proof.from_root === toBase64(kept.root) && proof.to_root === toBase64(own.root);
  return fits && await verifyConsistency(proof) ? null : forked(kept);
}

function forked({ size }: Checkpoint): Finding {
  return {
    code: "LOG_FORKED",
    message: `the bundle's log does not contain the ${size} seals that were signed before`,
  };
}
