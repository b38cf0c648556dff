import { createHash } from "node:crypto";
import type { StreamHash } from "../../clients/js/src/audit/sha256.ts";

/** SHA-256 of a stream by node:crypto, ten times as fast as in JavaScript. */
export function nativeHash(): StreamHash {
  const hash = createHash("sha256");
  return {
    update: (bytes) => void hash.update(bytes),
    digest: () => new Uint8Array(hash.digest()),
  };
}
