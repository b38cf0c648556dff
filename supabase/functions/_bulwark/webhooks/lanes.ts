/** The deliveries that a worker has claimed and not begun. */
import type { ClaimedDelivery } from "./attempt.ts";
import type { Claim, SealedEndpoint } from "./queue.ts";
import { type Holder, holderOf, type Slots } from "./slots.ts";

/** Deliveries that go one after the other: those of one key, or a single one. */
export interface Lane {
  endpoint: SealedEndpoint;
  holder: Holder;
  deliveries: ClaimedDelivery[];
  /** When it is too late for an attempt: it could outlast the claim. */
  startBefore: number;
}

/** The lanes of a claim. */
export function lanesOf({ deliveries, endpoints }: Claim, startBefore: number): Lane[] {
  const byId = new Map(endpoints.map((one) => [one.id, { endpoint: one, holder: holderOf(one) }]));
  const ordered = new Map<string, Lane>();
  const lanes: Lane[] = [];
  for (const delivery of deliveries) {
    const known = byId.get(delivery.endpoint_id);
    // Deleted since: the claim lapses, and pruning takes the rest.
    if (!known) continue;
    const { ordering_key } = delivery;
    const key = ordering_key === null ? null : `${delivery.endpoint_id}/${ordering_key}`;
    const lane = key === null ? undefined : ordered.get(key);
    if (lane) {
      lane.deliveries.push(delivery);
      continue;
    }
    const fresh = { ...known, deliveries: [delivery], startBefore };
    lanes.push(fresh);
    if (key !== null) ordered.set(key, fresh);
  }
  return lanes;
}

/** Lanes that wait, by endpoint. */
export class WaitingLanes {
  readonly #queues = new Map<string, Lane[]>();
  size = 0;

  add(lane: Lane): void {
    const queue = this.#queues.get(lane.holder.endpoint);
    if (queue) queue.push(lane);
    else this.#queues.set(lane.holder.endpoint, [lane]);
    this.size++;
  }

  of(endpoint: string): number {
    return this.#queues.get(endpoint)?.length ?? 0;
  }

  /** The endpoints of which some wait, with how many. */
  *endpoints(): Iterable<{ holder: Holder; count: number }> {
    for (const [lane, ...others] of this.#queues.values()) {
      if (lane) yield { holder: lane.holder, count: others.length + 1 };
    }
  }

  /** Takes the next that may begin: of the account that has the least under way, and so on inwards. */
  next(slots: Slots): Lane | undefined {
    let best: Lane | undefined;
    for (const [lane] of this.#queues.values()) {
      if (!lane || !slots.hasRoomFor(lane.holder)) continue;
      if (!best || slots.compare(lane.holder, best.holder) < 0) best = lane;
    }
    if (!best) return undefined;
    const { endpoint } = best.holder;
    const queue = this.#queues.get(endpoint) ?? [];
    queue.shift();
    this.size--;
    // Behind the others, so that equals take turns.
    this.#queues.delete(endpoint);
    if (queue.length > 0) this.#queues.set(endpoint, queue);
    return best;
  }

  /** Takes away those that are not to wait any longer. */
  remove(unwanted: (lane: Lane) => boolean): Lane[] {
    const removed: Lane[] = [];
    for (const [endpoint, queue] of this.#queues) {
      const kept = queue.filter((lane) => !unwanted(lane) || !removed.push(lane));
      if (kept.length === 0) this.#queues.delete(endpoint);
      else if (kept.length < queue.length) this.#queues.set(endpoint, kept);
    }
    this.size -= removed.length;
    return removed;
  }
}
