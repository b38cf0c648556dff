/** The row to measure. */
export interface FieldsTask {
  direction: "encrypt" | "decrypt";
  /** Bytes of a text. */
  size: number;
  inBatches: boolean;
}

export const subjects = ["ours", "raw WebCrypto and base64url", "@47ng/cloak"] as const;
