/** The token of this browser, for accounts that trust it as a second factor. */
import { bulwark } from "./connection.ts";

const nameOf = (account: string) => `bulwark-device-${account}`;

/** Whether this browser is trusted; forgets a token that is no longer valid. */
export async function presentDevice(account: string): Promise<boolean> {
  const token = localStorage.getItem(nameOf(account));
  if (token === null) return false;
  const { trusted } = await bulwark.mfa.presentDevice(token);
  if (!trusted) localStorage.removeItem(nameOf(account));
  return trusted;
}

/** Trusts this browser. The session must have verified a second factor. */
export async function trustDevice(account: string): Promise<void> {
  const { token } = await bulwark.mfa.trustDevice(browserName(navigator.userAgent));
  localStorage.setItem(nameOf(account), token);
}

/** A name that people recognize, such as "Firefox on Linux". */
export function browserName(agent: string | null): string {
  if (!agent) return "Unknown browser";
  const find = (names: Record<string, RegExp>) =>
    Object.entries(names).find(([, pattern]) => pattern.test(agent))?.[0];
  const program = find({
    Edge: /Edg\//,
    Opera: /OPR\//,
    Firefox: /Firefox\//,
    Chrome: /Chrom(e|ium)\//,
    Safari: /Safari\//,
  });
  const system = find({
    iOS: /iPhone|iPad/,
    Android: /Android/,
    Windows: /Windows/,
    macOS: /Mac OS X/,
    Linux: /Linux/,
  });
  if (!program) return agent.split(" ")[0]?.slice(0, 40) ?? "Unknown browser";
  return system ? `${program} on ${system}` : program;
}
