import { z } from "zod";

/** Finds the public key (PEM) that a scanner signs with, by the name it gives; null for none. */
export type FindScannerKey = (identifier: string) => Promise<string | null>;

/** Where a scanner's public keys come from. */
export interface ScannerKeySource {
  /** The keys themselves, in the form of GitHub's endpoint; null: they are asked for. */
  scannerKeys: string | null;
  /** The endpoint that is asked. */
  scannerKeysUrl: string;
}

const list = z.object({
  public_keys: z.array(z.object({ key_identifier: z.string(), key: z.string() })).max(100),
});

const freshMilliseconds = 3600_000;
const patience = 5000;
/** An unknown name does not make us ask more often than this. */
const askAgainMilliseconds = 60_000;

/** What {@link scannerKeys} may be told to do otherwise than by default. */
export interface ScannerKeyOptions {
  fetch?: typeof fetch;
  /** Milliseconds since 1970. */
  now?: () => number;
}

/**
 * The public keys of a secret scanner: those that were configured and no others, else those of its
 * endpoint, kept for an hour and asked for again where a name is new.
 * @throws Error where what was configured, or what the endpoint answers, is not in GitHub's form
 */
export function scannerKeys(
  { scannerKeys: configured, scannerKeysUrl }: ScannerKeySource,
  options: ScannerKeyOptions = {},
): FindScannerKey {
  const now = options.now ?? Date.now;
  const parse = (given: unknown) =>
    new Map(list.parse(given).public_keys.map(({ key_identifier, key }) => [key_identifier, key]));
  if (configured) {
    const keys = parse(JSON.parse(configured));
    return (identifier) => Promise.resolve(keys.get(identifier) ?? null);
  }
  let keys = new Map<string, string>();
  let asked = -Infinity;
  return async (identifier) => {
    const age = now() - asked;
    if (age > freshMilliseconds || (!keys.has(identifier) && age > askAgainMilliseconds)) {
      const answer = await (options.fetch ?? fetch)(scannerKeysUrl, {
        headers: { accept: "application/json", "user-agent": "bulwark" },
        signal: AbortSignal.timeout(patience),
      });
      if (!answer.ok) throw new Error(`${scannerKeysUrl} answered ${answer.status}`);
      keys = parse(await answer.json());
      asked = now();
    }
    return keys.get(identifier) ?? null;
  };
}
