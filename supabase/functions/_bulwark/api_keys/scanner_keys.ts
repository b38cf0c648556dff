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

/** How the PEM of a point on P-256 begins (RFC 5480); of no other kind of key and no other curve. */
const p256 = /^\s*-----BEGIN PUBLIC KEY-----\s+MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE/;

const freshMilliseconds = 3600_000;
const patience = 5000;
/** Neither an unknown name nor an endpoint that fails makes us ask more often than this. */
const askAgainMilliseconds = 60_000;

/** What {@link scannerKeys} may be told to do otherwise than by default. */
export interface ScannerKeyOptions {
  fetch?: typeof fetch;
  /** Milliseconds on a clock that never goes back. */
  now?: () => number;
}

/**
 * The public keys of a secret scanner: those that were configured and no others, else those of its
 * endpoint, kept for an hour and asked for again where a name is new, once at a time. While the
 * endpoint fails the keys that are known go on: a leak that is reported shall not be missed.
 * A key that is not ECDSA on P-256 is none.
 * @throws Error where what was configured, or what the endpoint answers, is not in GitHub's form
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
      const answer = await (options.fetch ?? fetch)(scannerKeysUrl, {
        headers: { accept: "application/json", "user-agent": "bulwark" },
        signal: AbortSignal.timeout(patience),
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
