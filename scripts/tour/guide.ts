import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../../supabase/functions/_bulwark/foundation/database.types.ts";
import { Failure } from "../stack/failure.ts";

/** Where the stack is that a tour visits. */
export interface Place {
  url: string;
  publishableKey: string;
  /** The database as a superuser: what somebody connects to against whom no rule holds. */
  superuserUrl: string;
  /** The scheduler's bearer token. */
  schedulerSecret: string;
  /** A scraper's bearer token. */
  metricsToken: string;
}

/** One capability, shown from beginning to end. */
export type Chapter = (place: Place) => Promise<void>;

/** The demo's own tables, which belong to the host application and not to Bulwark's types. */
export interface DemoDatabase extends Database {
  public: {
    Tables: {
      reports: {
        Row: { id: number; organization_id: string; title: string };
        Insert: { organization_id: string; title: string };
        Update: { title?: string };
        Relationships: [];
      };
      contacts: {
        Row: {
          id: string;
          organization_id: string;
          name: string;
          email: string | null;
          email_index: string | null;
        };
        Insert: {
          id: string;
          organization_id: string;
          name: string;
          email: string | null;
          email_index: string | null;
        };
        Update: { email?: string };
        Relationships: [];
      };
      payouts: {
        Row: { id: number; organization_id: string; amount_cents: number };
        Insert: { organization_id: string; amount_cents: number };
        Update: never;
        Relationships: [];
      };
    };
    Views: Record<never, never>;
    Functions: Record<never, never>;
  };
}

/** Somebody on the tour, signed in with a token that is never renewed. */
export interface Visitor {
  name: string;
  id: string;
  email: string;
  password: string;
  /** For the host's tables, in schema public. */
  client: SupabaseClient<DemoDatabase>;
  /** The same client, for what is Bulwark's. */
  bulwark: ReturnType<typeof bulwarkOf>;
}

/** Signs up a new account. */
export async function signUp(place: Place, name: string): Promise<Visitor> {
  const client = connect(place);
  const email = `${name.toLowerCase()}-${crypto.randomUUID().slice(0, 8)}@tour.test`;
  const password = crypto.randomUUID();
  const { data, error } = await client.auth.signUp({ email, password });
  if (error || !data.user) throw new Failure("TOUR", `Cannot sign up ${name}: ${error?.message}`);
  return { name, id: data.user.id, email, password, client, bulwark: bulwarkOf(client) };
}

/** The same account, signed in once more: a session of its own, as on another device. */
export async function signInAgain(place: Place, visitor: Visitor): Promise<Visitor> {
  const client = connect(place);
  const { email, password, name } = visitor;
  const { error } = await client.auth.signInWithPassword({ email, password });
  if (error) throw new Failure("TOUR", `Cannot sign in ${name}: ${error.message}`);
  return { ...visitor, client, bulwark: bulwarkOf(client) };
}

function connect({ url, publishableKey }: Place): SupabaseClient<DemoDatabase> {
  return createClient<DemoDatabase>(url, publishableKey, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
  });
}

function bulwarkOf(client: SupabaseClient<DemoDatabase>) {
  return client.schema("bulwark");
}

/** Prints the title of a chapter. */
export function title(text: string): void {
  console.log(`\n${text}`);
}

/** The answer of a supabase-js call. */
interface Answer<Data> {
  data: Data;
  error: { code: string; message: string; details: string | null } | null;
}

/** A step that must succeed; returns its data. */
export async function step<Data>(
  says: string,
  call: PromiseLike<Answer<Data>>,
): Promise<NonNullable<Data>> {
  const { data, error } = await call;
  if (error) throw new Failure("TOUR", `${says}: ${error.code} ${error.message}`);
  console.log(`  ok       ${says}`);
  return data as NonNullable<Data>;
}

/** A step that must be refused with a code: one of Bulwark's, or a plain SQLSTATE. */
export async function refused(
  says: string,
  code: string,
  call: PromiseLike<Answer<unknown>>,
): Promise<void> {
  const { error } = await call;
  if (!error || ![error.code, error.details].includes(code)) {
    throw new Failure("TOUR", `${says}: expected ${code}, got ${error?.details ?? "no error"}`);
  }
  console.log(`  refused  ${says}: ${code}`);
}

/** A step that must return exactly this. */
export async function expect(
  says: string,
  expected: unknown,
  call: PromiseLike<Answer<unknown>>,
): Promise<void> {
  const { data, error } = await call;
  const [got, wanted] = [JSON.stringify(data), JSON.stringify(expected)];
  if (error || got !== wanted) {
    throw new Failure("TOUR", `${says}: expected ${wanted}, got ${error?.message ?? got}`);
  }
  console.log(`  ok       ${says}: ${wanted}`);
}
