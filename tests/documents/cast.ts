/** The people and names that the blocks of documents may use (CONTRIBUTING.md). */
import { createClient, type Session, type SupabaseClient } from "@supabase/supabase-js";
import { type Client, createBulwark } from "../../clients/js/src/index.ts";
import { codeAt, done } from "../mfa/support.ts";
import {
  connect,
  createOrganization,
  join,
  liftLimits,
  type Person,
  publishableKey,
  service,
  signUp,
  url,
} from "../support.ts";

/** Somebody who may run a block: a person, the secret key, or nobody. */
export interface Actor {
  supabase: SupabaseClient;
  bulwark: Client<true>;
  /** The bearer token of requests; null: none. */
  token: string | null;
  person: Person | null;
  session: Session | null;
}

/** All that a page may name. */
export interface Cast {
  actors: Record<string, Actor>;
  /** Values of `<names>` in sql, sh and http. */
  values: Record<string, string>;
  /** Values of names in js and ts. */
  names: Record<string, unknown>;
}

/**
 * A new organization Acme, with an administrator and a viewer; a stranger; a super_admin. On a page that
 * makes Acme itself, the organization of before has another slug.
 */
export async function makeCast({ makesAcme }: { makesAcme: boolean }): Promise<Cast> {
  await liftLimits();
  const [ada, vic, eve, sam] = [
    await signUp("ada"),
    await signUp("vic"),
    await signUp("eve"),
    await signUp("sam"),
  ];
  const id = await createOrganization(ada);
  await join(ada, id, vic, "viewer");
  const owner = connect(1);
  await owner`select bulwark.grant_role(${sam.id}, 'super_admin')`;
  const acme = { id, name: "Acme", slug: makesAcme ? `before-${id}` : "acme" };
  await owner`update bulwark.organizations set slug = 'before-' || right(id::text, 12)
    where slug in ('acme', 'globex')`;
  await owner`update bulwark.organizations set ${owner(acme, "name", "slug")} where id = ${id}`;
  await owner.end();
  const actors: Record<string, Actor> = {
    ada: await actor(ada),
    vic: await actor(vic),
    eve: await actor(eve),
    super: await actor(sam),
    nobody: { ...of(connectTo(publishableKey)), token: null, person: null, session: null },
    service: {
      ...of(service() as unknown as SupabaseClient),
      token: null,
      person: null,
      session: null,
    },
  };
  const names = {
    url,
    publishableKey,
    organization_id: id,
    acme,
    user_id: vic.id,
    token: ada.token,
    email: ada.email,
    password: ada.password,
    serviceClient: actors.service?.supabase,
    secondFactor: () => addSecondFactor(ada),
  };
  const values = {
    "organization id": id,
    id,
    "user id": vic.id,
    "the user's token": ada.token,
    "publishable key": publishableKey,
  };
  return { actors, names, values };
}

async function actor(person: Person): Promise<Actor> {
  const { data: { session } } = await person.client.auth.getSession();
  return { ...of(signedIn(session)), token: person.token, person, session };
}

function of(supabase: SupabaseClient): Pick<Actor, "supabase" | "bulwark"> {
  return { supabase, bulwark: createBulwark(supabase, { throwOnError: true }) };
}

function connectTo(key: string): SupabaseClient {
  return createClient(url, key, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
  });
}

/** A client that finds the person's session in its storage, as a page finds it after a reload. */
export function signedIn(
  session: Session | null,
  options: NonNullable<Parameters<typeof createClient>[2]> = {},
): SupabaseClient {
  const stored = JSON.stringify(session);
  return createClient(url, publishableKey, {
    ...options,
    auth: {
      autoRefreshToken: false,
      detectSessionInUrl: false,
      storage: { getItem: () => stored, setItem: () => {}, removeItem: () => {} },
      ...options.auth,
    },
  });
}

/** Adds an authenticator app to an account, whose session is verified from then on. */
async function addSecondFactor({ token }: Person): Promise<void> {
  const { secret } = await done(token, "/enroll", { name: "Phone" });
  await done(token, "/activate", { code: codeAt(secret, Date.now()) });
}
