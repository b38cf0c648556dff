import { z } from "zod";
import { fetchWithTimeout } from "../foundation/timeout.ts";

/** Finds a scanner's public key (PEM) by its identifier; null if unknown. */
export type FindScannerKey = (identifier: string) => Promise<string | null>;

/** Source of a scanner's public keys. */
export interface ScannerKeySource {
  /** The keys in the form of GitHub's endpoint; null: fetched from the URL. */
  scannerKeys: string | null;
  /** The endpoint to fetch. */
  scannerKeysUrl: string;
}

const list = z.object({
  public_keys: z.array(z.object({ key_identifier: z.string(), key: z.string() })).max(100),
});

/** Prefix of the PEM of a P-256 public key (RFC 5480), which no other kind of key has. */
const p256 = /^\s*-----BEGIN PUBLIC KEY-----\s+MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE/;

const freshMilliseconds = 3600_000;
const timeoutMs = 5000;
/** Minimum interval between fetches, also for unknown identifiers and after failures. */
const askAgainMilliseconds = 60_000;

/** Options of {@link scannerKeys}. */
export interface ScannerKeyOptions {
  fetch?: typeof fetch;
  /** A monotonic clock in milliseconds. */
  now?: () => number;
}

/**
 * The public keys of a secret scanner: the configured ones, else those of its endpoint, cached for
 * an hour and fetched again for an unknown identifier, one fetch at a time. While the endpoint
 * fails the cached keys stay valid, so that no report is lost. Keys that are not on P-256 are
 * ignored.
 * @throws Error if the configuration or the endpoint's answer is not in GitHub's form
 */
export function scannerKeys(
  { scannerKeys: configured, scannerKeysUrl }: ScannerKeySource,
  options: ScannerKeyOptions = {},
): FindScannerKey {
  if (configured) {
    const keys = read(JSON.parse(configured));
    return (identifier) => Promise.resolve(keys.get(identifier) ?? null);
  }
  const now = options.now ?? (() => performance.now());
  let keys = new Map<string, string>();
  let [fetched, asked] = [-Infinity, -Infinity];
  let failure: unknown;
  let asking: Promise<void> | undefined;
  const ask = async () => {
    asked = now();
    try {
      const answer = await fetchWithTimeout(timeoutMs, options.fetch)(scannerKeysUrl, {
        headers: { accept: "application/json", "user-agent": "bulwark" },
      });
      if (!answer.ok) throw new Error(`${scannerKeysUrl} answered ${answer.status}`);
      keys = read(await answer.json());
      fetched = now();
      failure = undefined;
    } catch (thrown) {
      failure = thrown;
    }
  };
  return async (identifier) => {
    const wanted = now() - fetched > freshMilliseconds || !keys.has(identifier);
    if (asking || (wanted && now() - asked > askAgainMilliseconds)) {
      await (asking ??= ask().finally(() => asking = undefined));
    }
    const key = keys.get(identifier);
    if (!key && failure) throw failure;
    return key ?? null;
  };
}

function read(given: unknown): Map<string, string> {
  return new Map(
    list.parse(given).public_keys
      .filter(({ key }) => p256.test(key))
      .map(({ key_identifier, key }) => [key_identifier, key]),
  );
}
