import { networkOf } from "./address.ts";

const maximumRemembered = 10_000;
/** A block may be lifted, and is heard of no later than this. */
const maximumSeconds = 10;

/**
 * The networks whose own bucket is empty, each until somebody from there may come again. Meanwhile a
 * token from there that is not known yet is not worth a question to Auth: a flood of forged ones
 * would be one of questions.
 */
export class TurnedAway {
  readonly #until = new Map<string, number>();

  /** `now` in milliseconds on a clock that never goes back. */
  constructor(readonly now: () => number = () => performance.now()) {}

  /** Notes that whoever came from an address without being known was refused. */
  note(address: string | null, seconds: number | null): void {
    const network = networkOf(address);
    if (!network || !seconds) return;
    if (this.#until.size >= maximumRemembered) this.#until.clear();
    this.#until.set(network, this.now() + Math.min(seconds, maximumSeconds) * 1000);
  }

  /** Whether whoever comes from an address without being known would be refused. */
  has(address: string | null): boolean {
    const until = this.#until.get(networkOf(address) ?? "");
    return until !== undefined && until > this.now();
  }
}
