/**
 * What has to be deleted and may not be yet. Owed again while it is being paid, it stays owed: the
 * payment under way may have been too early for what came since.
 */
export class Debts<Item> {
  readonly #owed = new Map<Item, number>();
  #count = 0;

  get size(): number {
    return this.#owed.size;
  }

  get items(): Item[] {
    return [...this.#owed.keys()];
  }

  add(item: Item): void {
    this.#owed.set(item, ++this.#count);
  }

  clear(): void {
    this.#owed.clear();
  }

  /** Pays all, in one go; what fails is owed still. */
  async pay(task: (items: Item[]) => Promise<void>): Promise<void> {
    if (this.#owed.size === 0) return;
    const paid = [...this.#owed];
    await task(paid.map(([item]) => item));
    for (const [item, count] of paid) if (this.#owed.get(item) === count) this.#owed.delete(item);
  }
}
