import { sameBytes } from "../../../../supabase/functions/_bulwark/foundation/bytes.ts";
import {
  type Checkpoint,
  keyId,
  NoteError,
  openCheckpoint,
  openNote,
  type VerifierKey,
} from "../../../../supabase/functions/_bulwark/audit/note.ts";
import {
  ProofError,
  verifyGroupProof,
} from "../../../../supabase/functions/_bulwark/audit/proof.ts";
import type { GroupProof } from "../../../../supabase/functions/_bulwark/audit/records.ts";
import { VerificationError } from "./error.ts";
import type { Groups } from "./groups.ts";
import { groupHash } from "./hashes.ts";
import type { Find, Unproved } from "./verdict.ts";

/** The groups that signed checkpoints of a bundle cover: those up to the last one with a proof. */
export class Coverage {
  readonly #keys: readonly VerifierKey[];
  readonly #groups: Groups;
  readonly #find: Find;
  readonly #signers: Set<string>;
  #newest: Checkpoint | null = null;
  #seal = 0;

  constructor(keys: readonly VerifierKey[], groups: Groups, find: Find, signers: Set<string>) {
    this.#keys = keys;
    this.#groups = groups;
    this.#find = find;
    this.#signers = signers;
  }

  /** The newest checkpoint that matches the bundle. */
  get newest(): Checkpoint | null {
    return this.#newest;
  }

  /** Number of entries that are proved by a signed checkpoint. */
  get entries(): number {
    return this.#groups.chain.entriesThrough(this.#seal);
  }

  /**
   * Checks a proof; returns its checkpoint if it is valid and signed, else null.
   * @throws VerificationError WRONG_KEY
   */
  async take(proof: GroupProof): Promise<Checkpoint | null> {
    const { seal } = proof.group;
    const known = this.#groups.hashOf(seal);
    if (!known || !sameBytes(known, groupHash(proof.group))) {
      const message = `the entries up to seal ${seal} are not those that were signed`;
      this.#find("NOT_AS_SIGNED", message, { seal });
      return null;
    }
    let checkpoint: Checkpoint;
    try {
      await verifyGroupProof(proof, this.#keys);
      const note = proof.checkpoint ?? "";
      checkpoint = await openCheckpoint(note, this.#keys);
      this.#signers.add(await signerOf(note, this.#keys, checkpoint.origin));
    } catch (thrown) {
      this.#takeBadProof(thrown, seal);
      return null;
    }
    const newest = this.#newest;
    if (newest && newest.origin !== checkpoint.origin) {
      const message = `its checkpoints are of ${newest.origin} and ${checkpoint.origin}`;
      this.#find("LOG_FORKED", message, { seal });
    } else if (newest?.size === checkpoint.size && !sameBytes(newest.root, checkpoint.root)) {
      this.#find("LOG_FORKED", `two logs of ${checkpoint.size} seals were signed`, { seal });
    }
    this.#seal = Math.max(this.#seal, seal);
    if (!newest || checkpoint.size > newest.size) this.#newest = checkpoint;
    return checkpoint;
  }

  /** Judges groups without a proof: a finding up to the newest checkpoint's size, else unproved. */
  finish(): Unproved[] {
    const { chain } = this.#groups;
    const { last } = chain;
    if (!last) return [];
    if (!this.#newest) {
      const message = "nothing in the bundle is covered by a signed checkpoint";
      return [{ code: "NOT_SIGNED", message }];
    }
    const { size } = this.#newest;
    // Groups are chained, so a proof of the last one covers all before it.
    const due = chain.lastThrough(size)?.seal ?? 0;
    if (due > this.#seal) {
      this.#find(
        "NOT_AS_SIGNED",
        `${size} seals were signed, and nothing proves that the entries after seal ${this.#seal} ` +
          `up to seal ${due} are those`,
        { seal: due },
      );
    }
    if (last.seal <= size) return [];
    const message = `${last.entries - chain.entriesThrough(size)} entries were sealed after the ` +
      `${size} seals that the newest checkpoint covers`;
    return [{ code: "NOT_COVERED", message }];
  }

  #takeBadProof(thrown: unknown, seal: number): void {
    if (thrown instanceof ProofError) {
      if (thrown.problem === "unsigned") return;
      this.#find("NOT_AS_SIGNED", thrown.message, { seal });
    } else if (thrown instanceof NoteError) {
      refuseKeys(thrown);
      this.#find("CHECKPOINT_FORGED", thrown.message, { seal });
    } else throw thrown;
  }
}

/** The first of the given keys that signed a note of a log, as the log's name and the key's hash. */
export async function signerOf(
  note: string,
  keys: readonly VerifierKey[],
  origin: string,
  as = (key: VerifierKey) => key,
): Promise<string> {
  const named = keys.map(as);
  const { signedBy } = await openNote(note, named);
  const key = keys.find(({ name }, place) => name === origin && signedBy.includes(named[place]!));
  return `${origin}+${key && await keyId(key)}`;
}

/**
 * Ends the verification if the given keys do not fit.
 * @throws VerificationError WRONG_KEY, BAD_KEY
 */
export function refuseKeys({ problem, message }: NoteError): void {
  if (problem === "unknown_key") {
    const text = `Cannot verify: ${message}; was the bundle signed by another key?`;
    throw new VerificationError("WRONG_KEY", text);
  }
  if (problem === "ambiguous_key") {
    throw new VerificationError("BAD_KEY", `Cannot verify: ${message}`);
  }
}
