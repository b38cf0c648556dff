/** Deliveries that a worker has claimed and not started. */
import type { ClaimedDelivery } from "./attempt.ts";
import type { Claim, SealedEndpoint } from "./queue.ts";
import { type Holder, holderOf, type Slots } from "./slots.ts";

/** Deliveries to make in sequence: those of one ordering key, or a single one. */
export interface Lane {
  endpoint: SealedEndpoint;
  holder: Holder;
  deliveries: ClaimedDelivery[];
  /** Latest start of an attempt, so that it ends before the claim expires. */
  startBefore: number;
}

/** The lanes of a claim. */
export function lanesOf({ deliveries, endpoints }: Claim, startBefore: number): Lane[] {
  const byId = new Map(endpoints.map((one) => [one.id, { endpoint: one, holder: holderOf(one) }]));
  const ordered = new Map<string, Lane>();
  const lanes: Lane[] = [];
  for (const delivery of deliveries) {
    const known = byId.get(delivery.endpoint_id);
    // The endpoint was deleted meanwhile: the claim expires, and retention removes the delivery.
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

/** Waiting lanes by endpoint. */
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

  /** The endpoints with waiting lanes, and their number. */
  *endpoints(): Iterable<{ holder: Holder; count: number }> {
    for (const [lane, ...others] of this.#queues.values()) {
      if (lane) yield { holder: lane.holder, count: others.length + 1 };
    }
  }

  /**
   * Takes the next lane that may start, of the account with the fewest attempts in progress, then
   * of the organization and endpoint.
   */
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
    // Moved to the end, so that equal endpoints take turns.
    this.#queues.delete(endpoint);
    if (queue.length > 0) this.#queues.set(endpoint, queue);
    return best;
  }

  /** Removes the lanes that match. */
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
