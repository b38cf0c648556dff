/** Calls that need a fresh second factor wait here until the dialog has verified one, for all of them. */
type Answer = (verified: true | null) => void;

let waiting: Answer[] = [];
const listeners = new Set<() => void>();

function change(answers: Answer[]) {
  waiting = answers;
  for (const listener of listeners) listener();
}

export const stepUp = {
  /** Opens the dialog. Null: the person gave up. */
  ask: (): Promise<true | null> => new Promise((resolve) => change([...waiting, resolve])),
  answer(verified: true | null): void {
    const answered = waiting;
    change([]);
    for (const answer of answered) answer(verified);
  },
  isOpen: (): boolean => waiting.length > 0,
  subscribe(listener: () => void): () => void {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
};
