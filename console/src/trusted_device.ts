/** The token of this browser, for accounts that trust it as a second factor. */
import { browserName } from "./account/browser_name.ts";
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
