import type { CallerClient } from "../caller.ts";
import { unwrap } from "./log.ts";
import { formatVerifierKey } from "./note.ts";

/** The newest checkpoint, and the public keys of all there are. */
export interface PublishedCheckpoint {
  tree_size: number | null;
  signed_at: string | null;
  delivered_at: string | null;
  note: string | null;
  /** `name+hash+key`, newest first. They come from the database: compare them with those you kept. */
  keys: string[];
}

/** What anybody signed in may know of the checkpoints. */
export async function publishedCheckpoint(client: CallerClient): Promise<PublishedCheckpoint> {
  const [checkpoint] = unwrap(
    await client.from("audit_checkpoints").select("tree_size, signed_at, delivered_at, note")
      .order("tree_size", { ascending: false }).limit(1),
  );
  const keys = unwrap(
    await client.from("audit_keys").select("name, public_key::text")
      .order("registered_at", { ascending: false }),
  );
  return {
    tree_size: checkpoint?.tree_size ?? null,
    signed_at: checkpoint?.signed_at ?? null,
    delivered_at: checkpoint?.delivered_at ?? null,
    note: checkpoint?.note ?? null,
    keys: await Promise.all(
      keys.map(({ name, public_key }) =>
        formatVerifierKey({ name, publicKey: fromBytea(public_key) })
      ),
    ),
  };
}

/** The bytes of a bytea as text: a backslash, an x, and hexadecimal. */
function fromBytea(text: string): Uint8Array {
  return Uint8Array.from(text.slice(2).match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}
