/** A call that needs a fresh second factor waits here until the dialog has verified one. */
type Answer = (verified: true | null) => void;

let waiting: Answer | null = null;
const listeners = new Set<() => void>();

function change(answer: Answer | null) {
  waiting = answer;
  for (const listener of listeners) listener();
}

export const stepUp = {
  /** Opens the dialog. Null: the person gave up. */
  ask: (): Promise<true | null> => new Promise((resolve) => change(resolve)),
  answer(verified: true | null): void {
    waiting?.(verified);
    change(null);
  },
  isOpen: (): boolean => waiting !== null,
  subscribe(listener: () => void): () => void {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
};
