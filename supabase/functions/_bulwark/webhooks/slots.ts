/**
 * The attempts that a worker has in progress, limited so that no account delays the others, however
 * many of its endpoints hang.
 */

import type { SealedEndpoint } from "./queue.ts";

/** Identifies the keys under which an attempt is counted. */
export interface Holder {
  account: string;
  endpoint: string;
  /** Whether the endpoint answered recently. Unproven ones share half of the slots. */
  proven: boolean;
  /** Account, organization, endpoint and host, each counted separately. */
  keys: readonly string[];
}

/** The holder for an attempt of an endpoint. */
export function holderOf(endpoint: SealedEndpoint): Holder {
  const { id, organization_id, account_id, origin, proven } = endpoint;
  const keys = [
    `account ${account_id}`,
    `organization ${organization_id}`,
    `endpoint ${id}`,
    origin,
  ];
  return { account: account_id, endpoint: id, proven, keys };
}

/** Limits of attempts in progress. */
export interface SlotLimits {
  /** Quick attempts: those that started less than `slowAfterMs` ago. */
  concurrency: number;
  /** Slow attempts: those without an answer for longer. */
  slow: number;
  slowAfterMs: number;
}

/** An attempt in progress. */
interface Place {
  holder: Holder;
  slow: boolean;
  cut: AbortController;
}

/**
 * Counts attempts. An attempt that is not answered soon counts as slow and frees its slot. If there
 * are too many slow ones, the oldest of the account with the most is aborted.
 */
export class Slots {
  readonly #limits: SlotLimits;
  readonly #quick = new Counts();
  readonly #slow = new Counts();
  /** In order of their start. */
  readonly #slowPlaces = new Set<Place>();
  #unproven = 0;
  #onRoom: () => void;

  /** @param onRoom is called when a quick attempt has become slow */
  constructor(limits: SlotLimits, onRoom: () => void) {
    this.#limits = limits;
    this.#onRoom = onRoom;
  }

  get active(): number {
    return this.#quick.total + this.#slow.total;
  }

  /** Free quick slots for proven or unproven endpoints. */
  free(proven: boolean): number {
    const all = this.#limits.concurrency - this.#quick.total;
    const half = Math.ceil(this.#limits.concurrency / 2);
    return proven ? all : Math.min(all, half - this.#unproven);
  }

  /**
   * Whether an attempt may start: its endpoint, organization, account and host must each have fewer
   * attempts in progress than there are free slots, so that some stay free for others.
   */
  hasRoomFor(holder: Holder): boolean {
    const free = this.free(holder.proven);
    return holder.keys.every((key) => this.#quick.of(key) < free);
  }

  /**
   * Compares two holders by attempts in progress: of the account, then the organization, the
   * endpoint and the host.
   */
  compare(one: Holder, other: Holder): number {
    for (const [index, key] of one.keys.entries()) {
      const difference = this.#inUse(key) - this.#inUse(other.keys[index] ?? "");
      if (difference !== 0) return difference;
    }
    return 0;
  }

  /** Whether an attempt of the endpoint is slow. */
  isSlow(holder: Holder): boolean {
    return this.#slow.of(`endpoint ${holder.endpoint}`) > 0;
  }

  /** Runs an attempt; the signal aborts it. */
  async hold<Result>(
    holder: Holder,
    task: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    const place: Place = { holder, slow: false, cut: new AbortController() };
    this.#count(this.#quick, holder, 1);
    const timer = setTimeout(() => this.#makeSlow(place), this.#limits.slowAfterMs);
    try {
      return await task(place.cut.signal);
    } finally {
      clearTimeout(timer);
      this.#slowPlaces.delete(place);
      this.#count(place.slow ? this.#slow : this.#quick, holder, -1);
    }
  }

  #makeSlow(place: Place): void {
    place.slow = true;
    this.#count(this.#quick, place.holder, -1);
    this.#count(this.#slow, place.holder, 1);
    this.#slowPlaces.add(place);
    if (this.#slowPlaces.size > this.#limits.slow) this.#cutOne();
    this.#onRoom();
  }

  #cutOne(): void {
    let worst: Place | undefined;
    const has = ({ holder }: Place) => this.#slow.of(`account ${holder.account}`);
    for (const place of this.#slowPlaces) if (!worst || has(place) > has(worst)) worst = place;
    if (!worst) return;
    this.#slowPlaces.delete(worst);
    worst.cut.abort();
  }

  #inUse(key: string): number {
    return this.#quick.of(key) + this.#slow.of(key);
  }

  #count(counts: Counts, holder: Holder, change: number): void {
    if (counts === this.#quick && !holder.proven) this.#unproven += change;
    counts.total += change;
    for (const key of holder.keys) counts.add(key, change);
  }
}

/** Counters by key; zeros are removed. */
class Counts {
  total = 0;
  readonly #counts = new Map<string, number>();

  of(key: string): number {
    return this.#counts.get(key) ?? 0;
  }

  add(key: string, change: number): void {
    const next = this.of(key) + change;
    if (next === 0) this.#counts.delete(key);
    else this.#counts.set(key, next);
  }
}
