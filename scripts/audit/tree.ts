import { sha256Into } from "./sha256.ts";

/**
 * An RFC 6962 tree that takes its leaves one by one and keeps only the right edge: 32 bytes a level,
 * however many leaves there are.
 */
export class GrowingTree {
  #size = 0;
  readonly #edge = new Uint8Array(32 * 54);
  readonly #node = new Uint8Array(65);

  constructor() {
    this.#node[0] = 1;
  }

  get size(): number {
    return this.#size;
  }

  /** Appends leaf hashes of 32 bytes each, one after the other. */
  append(leaves: Uint8Array): void {
    for (let at = 0; at < leaves.length; at += 32) this.#appendOne(leaves, at);
  }

  /** The tree head over what was appended so far. */
  root(): Uint8Array {
    const root = new Uint8Array(32);
    if (this.#size === 0) {
      sha256Into(root, 0, new Uint8Array());
      return root;
    }
    let started = false;
    for (let level = 0, left = this.#size; left > 0; level++, left = Math.floor(left / 2)) {
      if (left % 2 === 0) continue;
      const full = this.#edge.subarray(32 * level, 32 * level + 32);
      if (started) this.#join(full, root, root, 0);
      else root.set(full);
      started = true;
    }
    return root;
  }

  /** Forgets everything. */
  clear(): void {
    this.#size = 0;
  }

  #appendOne(leaves: Uint8Array, at: number): void {
    const node = this.#node;
    let level = 0;
    let left = this.#size;
    for (let index = 0; index < 32; index++) node[33 + index] = leaves[at + index]!;
    while (left % 2 === 1) {
      const edge = 32 * level;
      for (let index = 0; index < 32; index++) node[1 + index] = this.#edge[edge + index]!;
      sha256Into(node, 33, node);
      level += 1;
      left = (left - 1) / 2;
    }
    const edge = 32 * level;
    for (let index = 0; index < 32; index++) this.#edge[edge + index] = node[33 + index]!;
    this.#size += 1;
  }

  #join(left: Uint8Array, right: Uint8Array, into: Uint8Array, at: number): void {
    this.#node.set(left, 1);
    this.#node.set(right, 33);
    sha256Into(into, at, this.#node);
  }
}
