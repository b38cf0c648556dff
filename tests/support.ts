/** Shared by the end-to-end tests: the addresses of the test stack, and people who signed up. */
import assert from "node:assert/strict";
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import postgres from "postgres";
import type { Database } from "../supabase/functions/_bulwark/foundation/database.types.ts";

/** A supabase-js client as any frontend makes it. */
export type Client = SupabaseClient<Database>;

/** Somebody with an account, and the client they are signed in with. */
export interface Person {
  id: string;
  email: string;
  password: string;
  client: Client;
  token: string;
}

export const url = setting("BULWARK_TEST_URL");
export const publishableKey = setting("BULWARK_TEST_PUBLISHABLE_KEY");
export const schedulerSecret = setting("BULWARK_TEST_SCHEDULER_SECRET");
export const authenticatorUrl = setting("BULWARK_TEST_AUTHENTICATOR_DB_URL");
export const scannerPrivateKey = setting("BULWARK_TEST_SCANNER_PRIVATE_KEY");
/** Of the provider of e-mail, which a test serves, and of the endpoint of invitations. */
export const mail = {
  url: setting("BULWARK_TEST_MAIL_URL"),
  secret: setting("BULWARK_TEST_MAIL_SECRET"),
};
export const metricsToken = setting("BULWARK_TEST_METRICS_TOKEN");
export const secretKey = setting("BULWARK_TEST_SECRET_KEY");
export const superuserUrl = setting("BULWARK_TEST_ADMIN_DB_URL");

const options = {
  db: { schema: "bulwark" as const },
  auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
};

/** A client with the publishable key and nobody signed in. */
export function anonymous(): Client {
  return createClient<Database>(url, publishableKey, options);
}

/** A client with the secret key. */
export function service(): Client {
  return createClient<Database>(url, secretKey, options);
}

/** Signs up a new account with an address of its own. */
export async function signUp(name: string): Promise<Person> {
  const email = `${name}-${crypto.randomUUID().slice(0, 8)}@people.test`;
  const client = anonymous();
  const password = crypto.randomUUID();
  const { data, error } = await client.auth.signUp({ email, password });
  assert.equal(error, null);
  assert.ok(data.user && data.session);
  return { id: data.user.id, email, password, client, token: data.session.access_token };
}

/** The claims of a token, for requests that a test makes as PostgREST would. */
export function claimsOf({ token }: Person): Record<string, unknown> {
  const payload = token.split(".")[1] ?? "";
  return JSON.parse(atob(payload.replaceAll("-", "+").replaceAll("_", "/")));
}

/** A call of a function: by default GET, or POST with a body. */
export interface FunctionCall {
  token?: string | null | undefined;
  method?: string;
  /** A text as it is, all else as JSON. */
  body?: unknown;
  headers?: Record<string, string>;
}

/** Calls a function, such as `rbac` or `audit/checkpoint`. */
export async function callFunction(
  path: string,
  { token, body, method = body === undefined ? "GET" : "POST", headers }: FunctionCall = {},
): Promise<Response> {
  return await fetch(`${url}/functions/v1/bulwark-${path}`, {
    method,
    headers: {
      apikey: publishableKey,
      ...token ? { authorization: `Bearer ${token}` } : {},
      ...headers,
    },
    ...body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) },
  });
}

/** Higher limits than a test reaches. */
export async function liftLimits(): Promise<void> {
  const sql = connect(1);
  await sql`update bulwark.rate_limit_rules set capacity = 1000000`;
  await sql.end();
}

/** A slug that no other test uses. */
export function freshSlug(): string {
  return `org-${crypto.randomUUID().slice(0, 13)}`;
}

/** The data of a call that must succeed. */
export function ok<Data>(answer: { data: Data; error: unknown }): NonNullable<Data> {
  assert.equal(answer.error, null);
  assert.ok(answer.data !== null && answer.data !== undefined);
  return answer.data;
}

/** An organization, made by its administrator. */
export async function createOrganization(administrator: Person): Promise<string> {
  const slug = freshSlug();
  return ok(await administrator.client.rpc("create_organization", { name: slug, slug })).id;
}

/** Makes somebody a member the way everybody becomes one: invited, and accepted. */
export async function join(
  administrator: Person,
  organization: string,
  person: Person,
  role: string,
): Promise<void> {
  const invited = ok(
    await administrator.client.rpc("invite_member", {
      organization_id: organization,
      email: person.email,
      role,
    }),
  );
  ok(await person.client.rpc("accept_invitation", { token: invited[0]?.token ?? "" }));
}

/** Connections straight to the database, one for each thing that happens at once. */
export function connect(max: number): postgres.Sql {
  return postgres(setting("BULWARK_TEST_DB_URL"), { max, onnotice: () => {} });
}

/** Installs Bulwark's hook in front of the Data API (docs/rate_limits.md). */
export async function installHook(): Promise<void> {
  const owner = connect(1);
  await owner`select bulwark.install_request_hook()`;
  await owner.end();
  const installed = async () => {
    const headers = {
      apikey: publishableKey,
      "x-api-key": "none",
      "accept-profile": "bulwark",
    };
    const answer = await fetch(`${url}/rest/v1/permissions?limit=1`, { headers });
    await answer.body?.cancel();
    return answer.status === 401;
  };
  for (let attempt = 0; !await installed(); attempt++) {
    assert.ok(attempt < 100, "the hook is not there");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function setting(name: string): string {
  const value = Deno.env.get(name);
  if (!value) throw new Error(`${name} is not set: run this through npm test`);
  return value;
}
