import { useState } from "react";

/** Whether a dialog is open, and how that changes. */
export type Opened = readonly [boolean, (open: boolean) => void];

/** The given state of a dialog, such as one in an address; without it one of its own. */
export function useGivenOr(given: Opened | undefined): Opened {
  const own = useState(false);
  return given ?? own;
}
