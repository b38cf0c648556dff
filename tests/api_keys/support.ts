/** Shared by the tests of API keys: issuing a key, and acting with it. */
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import { apiKeyToken } from "../../clients/js/src/api_key.ts";
import type { DemoDatabase } from "../../scripts/tour/guide.ts";
import { ok, type Person, publishableKey, url } from "../support.ts";

/** A client for the demo's table, which is open to keys. */
export type ReportsClient = SupabaseClient<DemoDatabase>;

/** A key, as shown once. */
export interface IssuedKey {
  id: string;
  api_key: string;
}

/** Issues a key to its owner. */
export async function issueKey(
  owner: Person,
  organization_id: string,
  scopes: string[] = ["analytics:read", "analytics:write"],
  more: { networks?: string[]; rate_limit_rule?: string } = {},
): Promise<IssuedKey> {
  const { id, api_key } = ok(
    await owner.client.rpc("create_api_key", {
      organization_id,
      name: "a script",
      scopes,
      ...more,
    }),
  );
  if (id === null || api_key === null) throw new Error("create_api_key answered without a key");
  return { id, api_key };
}

/** A client that acts with a key, as in docs/api_keys.md. */
export function keyClient(apiKey: string): ReportsClient {
  return createClient(url, publishableKey, { accessToken: apiKeyToken({ url, apiKey }) });
}

/** A client that acts with one token, without renewing it. */
export function tokenClient(token: string): ReportsClient {
  return createClient(url, publishableKey, { accessToken: () => Promise.resolve(token) });
}

/** Asks for a token. */
export async function exchange(
  apiKey: string | null,
  headers: Record<string, string> = {},
): Promise<{ status: number; headers: Headers; body: Record<string, unknown> }> {
  const answer = await fetch(`${url}/functions/v1/bulwark-api-keys/token`, {
    method: "POST",
    headers: { ...headers, ...apiKey === null ? {} : { "x-api-key": apiKey } },
  });
  return { status: answer.status, headers: answer.headers, body: await answer.json() };
}

/** The token of a key that is in force. */
export async function tokenOf(apiKey: string): Promise<string> {
  const { status, body } = await exchange(apiKey);
  if (status !== 200) throw new Error(`the exchange answered ${status}`);
  return String(body.access_token);
}
