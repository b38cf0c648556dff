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

/** Trusts this browser under a name. The session must have verified a second factor. */
export async function trustDevice(account: string, name: string): Promise<void> {
  const { token } = await bulwark.mfa.trustDevice(name);
  localStorage.setItem(nameOf(account), token);
}
