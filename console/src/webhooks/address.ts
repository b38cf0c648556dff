/** The part of an endpoint's screen that stands in the address. */
export interface Shown {
  /** Deliveries with this status alone. */
  status?: (typeof statuses)[number];
  /** The delivery whose drawer is open. */
  delivery?: string;
}

export const statuses = ["pending", "delivered", "dead"] as const;

/** Reads it from an address; ignores other values. */
export function readShown(given: Record<string, unknown>): Shown {
  const status = statuses.find((one) => one === given["status"]);
  const { delivery } = given;
  return {
    ...(status ? { status } : {}),
    ...(typeof delivery === "string" && delivery ? { delivery } : {}),
  };
}
