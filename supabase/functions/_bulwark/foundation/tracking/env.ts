import { fromDeno, type GetVariable } from "../env.ts";

/** Where unexpected errors are reported. */
export interface TrackingEnv {
  /** Sentry's address for this project; null: nowhere. */
  sentryDsn: string | null;
  environment: string;
  /** Values that must not leave, whatever they are in. */
  secrets: string[];
}

/** Error tracking's part of the environment. */
export function readTrackingEnv(
  get: GetVariable = fromDeno,
  all: () => Record<string, string> = () => Deno.env.toObject(),
): TrackingEnv {
  const sentryDsn = get("SENTRY_DSN") || null;
  const secrets = sentryDsn
    ? Object.entries(all())
      .filter(([name]) => /KEY|SECRET|TOKEN|PASSWORD|PEPPER|DSN|_URL$/.test(name))
      .flatMap(([, value]) => [value, ...secretsIn(value)])
      .filter((value) => value.length > 7)
      // One that begins another would leave the end of it.
      .sort((a, b) => b.length - a.length)
    : [];
  return { sentryDsn, environment: get("SENTRY_ENVIRONMENT") || "production", secrets };
}

/** The keys in `{"default":"sb_secret_..."}` and in `id:passphrase:...,id:...`, a URL's password. */
function secretsIn(value: string): string[] {
  try {
    const keys: unknown = JSON.parse(value);
    return typeof keys === "object" && keys !== null
      ? Object.values(keys).filter((key) => typeof key === "string")
      : [];
  } catch {
    if (!/:\/\//.test(value)) return value.split(/[,:]/);
    const { password } = URL.parse(value) ?? { password: "" };
    return [password, unescaped(password)];
  }
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
