/** How a session ends: the person leaves, or it is over while they may be typing. */
import { focusManager } from "@tanstack/react-query";
import { auth, storageKey } from "./connection.ts";

let leaving = false;

/** Whether the session ends because the person wants it. */
export const isLeaving = (): boolean => leaving;

/** Ends this session, and no other of the person. */
export async function signOut(): Promise<void> {
  leaving = true;
  try {
    const { error } = await auth.signOut({ scope: "local" });
    // Without an answer the browser forgets the session all the same.
    if (error) {
      localStorage.removeItem(storageKey);
      await auth.signOut({ scope: "local" });
    }
  } finally {
    leaving = false;
  }
}

/** Somebody whose session is over, while a form may hold their input. */
let waiting: string | null = null;
const listeners = new Set<() => void>();

function change(email: string | null) {
  waiting = email;
  // Nothing asks by itself meanwhile: the answers would take the form away.
  focusManager.setFocused(email === null ? undefined : false);
  for (const listener of listeners) listener();
}

export const signInAgain = {
  ask: (email: string): void => change(email),
  end: (): void => change(null),
  email: (): string | null => waiting,
  subscribe(listener: () => void): () => void {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
};
