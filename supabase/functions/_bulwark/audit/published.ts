import type { CallerClient } from "../foundation/caller.ts";
import { unwrap } from "../foundation/errors.ts";
import { formatVerifierKey, NoteError, openCheckpoint, type VerifierKey } from "./note.ts";
import type { ConsistencyProof, EntryProof } from "./records.ts";

/** The part of the checkpoints that every signed-in user may read. */
export async function publishedCheckpoint(client: CallerClient) {
  const newest = unwrap(
    await client.from("audit_checkpoints").select("tree_size, signed_at, delivered_at, note")
      .order("tree_size", { ascending: false }).limit(20),
  );
  const keys = unwrap(
    await client.from("audit_keys").select("name, public_key::text")
      .order("registered_at", { ascending: false }),
  );
  const known = keys.map(({ name, public_key }) => ({ name, publicKey: fromBytea(public_key) }));
  const checkpoint = await firstSigned(newest, known);
  return {
    tree_size: checkpoint?.tree_size ?? null,
    signed_at: checkpoint?.signed_at ?? null,
    delivered_at: checkpoint?.delivered_at ?? null,
    note: checkpoint?.note ?? null,
    keys: await Promise.all(known.map(formatVerifierKey)),
  };
}

/** That an entry is in the log. */
export async function inclusionProof(client: CallerClient, { id }: { id: string }) {
  const proof = unwrap(await client.rpc("audit_inclusion_proof", { entry_id: id }));
  return proof as unknown as EntryProof;
}

/** That a later log extends an earlier one. */
export async function consistencyProof(
  client: CallerClient,
  { from, to }: { from: number; to: number },
) {
  const asked = { from_size: from, to_size: to };
  const proof = unwrap(await client.rpc("audit_consistency_proof", asked));
  return proof as unknown as ConsistencyProof;
}

/** The first whose signature verifies, so that a forged row hides nothing. */
async function firstSigned<Stored extends { note: string }>(
  checkpoints: Stored[],
  known: VerifierKey[],
): Promise<Stored | null> {
  for (const checkpoint of checkpoints) {
    try {
      await openCheckpoint(checkpoint.note, known);
      return checkpoint;
    } catch (thrown) {
      if (!(thrown instanceof NoteError)) throw thrown;
    }
  }
  return null;
}

/** Decodes a bytea as text: a backslash, an x, and hexadecimal. */
function fromBytea(text: string): Uint8Array {
  return Uint8Array.from(text.slice(2).match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}
