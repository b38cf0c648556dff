import { sameBytes } from "../../../../supabase/functions/_bulwark/foundation/bytes.ts";

/** A verified group: its seal, its hash, and the number of entries verified so far. */
export interface Link {
  seal: number;
  hash: Uint8Array;
  entries: number;
}

/** The groups of a bundle in order, 48 bytes each, so that a later proof can name its group. */
export class Chain {
  #length = 0;
  #hashes = new Uint8Array(32 * 256);
  #seals = new Float64Array(256);
  #entries = new Float64Array(256);

  get last(): Link | null {
    return this.#length === 0 ? null : this.#at(this.#length - 1);
  }

  add({ seal, hash, entries }: Link): void {
    if (this.#length === this.#seals.length) this.#grow();
    this.#hashes.set(hash, 32 * this.#length);
    this.#seals[this.#length] = seal;
    this.#entries[this.#length] = entries;
    this.#length += 1;
  }

  /** The hash of the group of a seal, or null if the bundle has none. */
  hashOf(seal: number): Uint8Array | null {
    const index = this.#countThrough(seal) - 1;
    return index >= 0 && this.#seals[index] === seal ? this.#at(index).hash : null;
  }

  /** The last group up to a seal, or null if there is none. */
  lastThrough(seal: number): Link | null {
    const count = this.#countThrough(seal);
    return count === 0 ? null : this.#at(count - 1);
  }

  /** Number of entries in the groups up to a seal. */
  entriesThrough(seal: number): number {
    return this.lastThrough(seal)?.entries ?? 0;
  }

  /** Whether the last group has this hash. */
  endsWith(hash: Uint8Array): boolean {
    return this.last !== null && sameBytes(this.last.hash, hash);
  }

  #countThrough(seal: number): number {
    let [low, high] = [0, this.#length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#seals[middle]! <= seal) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #at(index: number): Link {
    return {
      seal: this.#seals[index]!,
      hash: this.#hashes.slice(32 * index, 32 * index + 32),
      entries: this.#entries[index]!,
    };
  }

  #grow(): void {
    const copy = <Numbers extends Uint8Array | Float64Array>(from: Numbers, to: Numbers) => {
      to.set(from);
      return to;
    };
    this.#hashes = copy(this.#hashes, new Uint8Array(2 * this.#hashes.length));
    this.#seals = copy(this.#seals, new Float64Array(2 * this.#seals.length));
    this.#entries = copy(this.#entries, new Float64Array(2 * this.#entries.length));
  }
}
