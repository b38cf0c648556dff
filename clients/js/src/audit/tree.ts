import { sha256Into } from "./sha256.ts";

/** An RFC 6962 tree that takes its leaves one by one and keeps only the right edge: 32 bytes a level. */
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
    for (let at = 0; at < leaves.length; at += 32) this.#appendNode(leaves, at, 0);
  }

  /**
   * Appends the roots of the fewest full subtrees that cover the leaves up to a size; false if
   * their number is wrong.
   */
  appendNodes(nodes: readonly Uint8Array[], size: number): boolean {
    for (const node of nodes) {
      if (this.#size >= size) return false;
      let level = 0;
      while (this.#size % 2 ** (level + 1) === 0 && this.#size + 2 ** (level + 1) <= size) level++;
      this.#appendNode(node, 0, level);
    }
    return this.#size === size;
  }

  /** The tree head over all leaves so far. */
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

  /** Removes all leaves. */
  clear(): void {
    this.#size = 0;
  }

  /** Appends a full subtree of 2^level leaves, at a position that is a multiple of that. */
  #appendNode(leaves: Uint8Array, at: number, level: number): void {
    const node = this.#node;
    const width = 2 ** level;
    let left = this.#size / width;
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
    this.#size += width;
  }

  #join(left: Uint8Array, right: Uint8Array, into: Uint8Array, at: number): void {
    this.#node.set(left, 1);
    this.#node.set(right, 33);
    sha256Into(into, at, this.#node);
  }
}
