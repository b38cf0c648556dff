export const states = ["missing", "overdue", "locked", "enrolled"] as const;

/** Which members are listed, as it stands in the address. */
export interface Filter {
  state?: (typeof states)[number];
}

/** Reads it from an address; ignores other values. */
export function readFilter(given: Record<string, unknown>): Filter {
  const state = states.find((one) => one === given["state"]);
  return state ? { state } : {};
}
