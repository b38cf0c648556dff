/** The project of the console: its client, and everything that is known of it. */
import { BulwarkError, createBulwark } from "@bulwark/client";
import { bulwarkQueries } from "@bulwark/client/react-query";
import { AuthClient } from "@supabase/auth-js";
import { FunctionsClient } from "@supabase/functions-js";
import { PostgrestClient } from "@supabase/postgrest-js";
import { MutationCache, QueryCache, QueryClient } from "@tanstack/react-query";
import { stepUp } from "./step_up.ts";

/** The content of `config.json`, which lies beside the page. */
interface Config {
  /** The address of the project; by default that of the page. */
  url?: string;
  publishableKey: string;
}

const { url = location.origin, publishableKey }: Config = await (await fetch("./config.json"))
  .json();

/** The place of the session in the browser. */
export const storageKey = "bulwark-session";

/** Accounts and sessions. The console uses parts of supabase-js, without Realtime and Storage. */
export const auth = new AuthClient({
  url: `${url}/auth/v1`,
  headers: { apikey: publishableKey },
  storageKey,
  flowType: "pkce",
});

/** Sends the session that is current, which is renewed before it ends. */
const withSession: typeof fetch = async (input, init) => {
  const { data } = await auth.getSession();
  const headers = new Headers(init?.headers);
  headers.set("apikey", publishableKey);
  headers.set("authorization", `Bearer ${data.session?.access_token ?? publishableKey}`);
  return await fetch(input, { ...init, headers });
};

const database = new PostgrestClient(`${url}/rest/v1`, {
  fetch: withSession,
  schema: "bulwark",
});

export const bulwark = createBulwark(
  {
    rpc: (name, args) => database.rpc(name, args),
    from: (table) => database.from(table),
    functions: new FunctionsClient(`${url}/functions/v1`, { customFetch: withSession }),
    auth,
  },
  { throwOnError: true, onVerificationRequired: stepUp.ask },
);

export const queries = bulwarkQueries(bulwark);

/** The codes of a session that is over: the person signs in again. */
const over = new Set([
  "SESSION_ENDED",
  "UNAUTHORIZED",
  "RBAC_NOT_AUTHENTICATED",
  "ACCOUNT_SUSPENDED",
]);
const onError = (error: Error) => {
  if (error instanceof BulwarkError && over.has(error.code)) void auth.signOut({ scope: "local" });
};

export const known = new QueryClient({
  queryCache: new QueryCache({ onError }),
  mutationCache: new MutationCache({ onError }),
  defaultOptions: { queries: { staleTime: 10_000 } },
});
