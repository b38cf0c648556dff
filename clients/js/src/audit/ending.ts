import { sameBytes } from "../../../../supabase/functions/_bulwark/foundation/bytes.ts";
import {
  type Checkpoint,
  NoteError,
  type VerifierKey,
} from "../../../../supabase/functions/_bulwark/audit/note.ts";
import {
  exportKey,
  type ExportStatement,
  openStatement,
} from "../../../../supabase/functions/_bulwark/audit/statement.ts";
import { refuseKeys, signerOf } from "./coverage.ts";
import type { StreamHash } from "./sha256.ts";
import type { Find } from "./verdict.ts";

/** Totals of the bundle as read, to compare with the statement at its end. */
export type Totals = Omit<ExportStatement, "origin" | "bytes" | "digest">;

/** The digest of a bundle as it streams by, and the signed statement about it. */
export class Ending {
  readonly #keys: readonly VerifierKey[];
  readonly #find: Find;
  readonly #signers: Set<string>;
  readonly #newHash: () => StreamHash;
  #digest: StreamHash;
  #bytes = 0;

  constructor(
    keys: readonly VerifierKey[],
    find: Find,
    signers: Set<string>,
    newHash: () => StreamHash,
  ) {
    this.#newHash = newHash;
    this.#digest = newHash();
    this.#keys = keys;
    this.#find = find;
    this.#signers = signers;
  }

  take(bytes: Uint8Array): void {
    this.#digest.update(bytes);
    this.#bytes += bytes.length;
  }

  /**
   * Compares digest and totals with the statement, and starts the next part.
   * @throws VerificationError WRONG_KEY, BAD_KEY
   */
  async compare(note: string, totals: Totals, checkpoint: Checkpoint | null): Promise<void> {
    const [bytes, digest] = [this.#bytes, this.#digest.digest()];
    this.begin();
    let stated: ExportStatement;
    try {
      stated = await openStatement(note, this.#keys);
      this.#signers.add(await signerOf(note, this.#keys, stated.origin, exportKey));
    } catch (thrown) {
      if (!(thrown instanceof NoteError)) throw thrown;
      refuseKeys(thrown);
      this.#find("STATEMENT_FORGED", thrown.message);
      return;
    }
    if (checkpoint && checkpoint.origin !== stated.origin) {
      this.#find("LOG_FORKED", `the export is of ${stated.origin}, not of ${checkpoint.origin}`);
    }
    const wrong = differences(stated, { ...totals, origin: stated.origin, bytes, digest });
    if (wrong.length > 0) {
      this.#find(
        "BUNDLE_ALTERED",
        `it is not what was exported: the signed statement at its end has another ` +
          wrong.join(", "),
      );
    }
  }

  begin(): void {
    this.#digest = this.#newHash();
    this.#bytes = 0;
  }
}

/** The fields in which two statements differ. */
function differences(one: ExportStatement, other: ExportStatement): string[] {
  const same: Record<keyof ExportStatement, boolean> = {
    origin: one.origin === other.origin,
    organization: one.organization === other.organization,
    after: one.after === other.after,
    cursor: one.cursor === other.cursor,
    isEnd: one.isEnd === other.isEnd,
    entries: one.entries === other.entries,
    groups: one.groups === other.groups,
    lastGroup: sameOrNull(one.lastGroup, other.lastGroup),
    tree: one.tree?.size === other.tree?.size &&
      sameOrNull(one.tree?.root ?? null, other.tree?.root ?? null),
    bytes: one.bytes === other.bytes,
    digest: sameBytes(one.digest, other.digest),
  };
  return Object.entries(same).filter(([, isSame]) => !isSame).map(([name]) => name);
}

function sameOrNull(one: Uint8Array | null, other: Uint8Array | null): boolean {
  return one === null || other === null ? one === other : sameBytes(one, other);
}
