/**
 * Signs messages as in Standard Webhooks (https://www.standardwebhooks.com, symmetric signatures).
 */
import { fromBase64 } from "../foundation/bytes.ts";
import { createHmac } from "node:crypto";

/** Signs with one secret. */
export interface Signer {
  /** The signature of a message at a time, in the form of the header. */
  sign(id: string, at: Date, body: string): string;
}

/**
 * A signer for a secret, `whsec_` and base64. The package standardwebhooks computes the same in
 * JavaScript, which is much slower.
 * @throws Error for an empty secret
 */
export function openSigner(secret: string): Signer {
  const key = fromBase64(secret.replace(/^whsec_/, ""));
  if (!key?.length) throw new Error("Cannot sign: the secret is empty");
  return {
    sign(id, at, body) {
      const signed = `${id}.${Math.floor(at.getTime() / 1000)}.${body}`;
      return `v1,${createHmac("sha256", key).update(signed).digest("base64")}`;
    },
  };
}
