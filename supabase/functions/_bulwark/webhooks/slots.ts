/**
 * The attempts that a worker has under way, so that no account, however many endpoints of it hang,
 * keeps the worker from the others.
 */

import type { SealedEndpoint } from "./queue.ts";

/** Whom an attempt is counted for. */
export interface Holder {
  account: string;
  endpoint: string;
  /** Whether the endpoint answered lately; those that did not share half of the places. */
  proven: boolean;
  /** Account, organization, endpoint and host: each has its own count. */
  keys: readonly string[];
}

/** Whom an attempt of an endpoint is counted for. */
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

/** How many attempts may be under way. */
export interface SlotLimits {
  /** Quick ones: those that began less than `slowAfterMs` ago. */
  concurrency: number;
  /** Slow ones: those that went unanswered for longer. */
  slow: number;
  /** Milliseconds. */
  slowAfterMs: number;
}

/** An attempt under way. */
interface Place {
  holder: Holder;
  slow: boolean;
  cut: AbortController;
}

/**
 * Counts attempts. One that is not answered soon makes room for the next and waits among the slow
 * ones; where those are too many, the oldest of the account that has the most is cut off.
 */
export class Slots {
  readonly #limits: SlotLimits;
  readonly #quick = new Counts();
  readonly #slow = new Counts();
  /** In order of their beginning. */
  readonly #slowPlaces = new Set<Place>();
  #unproven = 0;
  #onRoom: () => void;

  /** @param onRoom is called when a quick attempt has become a slow one */
  constructor(limits: SlotLimits, onRoom: () => void) {
    this.#limits = limits;
    this.#onRoom = onRoom;
  }

  get active(): number {
    return this.#quick.total + this.#slow.total;
  }

  /** Quick places that are left, of endpoints that are proven or of those that are not. */
  free(proven: boolean): number {
    const all = this.#limits.concurrency - this.#quick.total;
    const half = Math.ceil(this.#limits.concurrency / 2);
    return proven ? all : Math.min(all, half - this.#unproven);
  }

  /**
   * Whether an attempt may begin: of its endpoint, organization, account and host fewer have to be
   * under way than there is room for, so that there is always some left for another.
   */
  hasRoomFor(holder: Holder): boolean {
    const free = this.free(holder.proven);
    return holder.keys.every((key) => this.#quick.of(key) < free);
  }

  /** Which of two has less under way: its account, then its organization, then itself. */
  compare(one: Holder, other: Holder): number {
    for (const [index, key] of one.keys.entries()) {
      const difference = this.#inUse(key) - this.#inUse(other.keys[index] ?? "");
      if (difference !== 0) return difference;
    }
    return 0;
  }

  /** Whether attempts of the endpoint have gone unanswered for long. */
  isSlow(holder: Holder): boolean {
    return this.#slow.of(`endpoint ${holder.endpoint}`) > 0;
  }

  /** Runs an attempt; the signal says that it is cut off. */
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

/** Numbers by key; what is zero is forgotten. */
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
