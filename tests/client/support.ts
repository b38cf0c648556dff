/** People and places for the tests of the client library. */
import { createClient } from "@supabase/supabase-js";
import { createBulwark } from "../../clients/js/src/index.ts";
import {
  connect,
  liftLimits,
  type Person,
  publishableKey,
  schedulerSecret,
  secretKey,
  signUp,
  url,
} from "../support.ts";
import type { Place, Traveller } from "./steps.ts";

/** People for a journey: all new. Webhooks go to the receiver. */
export async function makePlace(receiver: string): Promise<Place> {
  await liftLimits();
  const [ada, bob, mia, root] = [
    await signUp("ada"),
    await signUp("bob"),
    await signUp("mia"),
    await signUp("root"),
  ];
  const owner = connect(1);
  await owner`select bulwark.grant_role(${root.id}, 'super_admin')`;
  await owner.end();
  const people = { ada, bob, mia, root };
  const travellers = Object.fromEntries(
    Object.entries(people).map(([name, person]) => [name, travellerOf(person)]),
  ) as Record<keyof typeof people, Traveller>;
  return { url, publishableKey, secretKey, schedulerSecret, receiver, ...travellers };
}

export function travellerOf({ id, email, password, token }: Person): Traveller {
  return { id, email, password, token };
}

/** A client of supabase-js with a token that is never renewed. */
export function supabaseWith(token: string, address = url, fetch = globalThis.fetch) {
  return createClient(address, publishableKey, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    global: { headers: { authorization: `Bearer ${token}` }, fetch },
  });
}

export { createBulwark };
