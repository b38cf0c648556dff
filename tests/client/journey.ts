/**
 * Calls everything that the client has, as the people of two organizations and a super_admin, and
 * records the answers. It runs on any runtime: its caller opens the clients.
 */
import { apiKeys, mfa, organizations, people, policies } from "./accounts.ts";
import { compliance } from "./evidence.ts";
import { audit, encryption, limits, metrics, security, signIn, webhooks } from "./operations.ts";
import {
  type Place,
  type Recorded,
  recording,
  refused,
  type Runtime,
  slug,
  type Traveller,
} from "./steps.ts";

export async function journey(runtime: Runtime, place: Place): Promise<Recorded[]> {
  const recorded: Recorded[] = [];
  const as = (person: Traveller) => {
    const supabase = runtime.connect(person.token);
    return recording(runtime.createBulwark(supabase, { throwOnError: true }), recorded);
  };
  const [ada, bob, mia, root] = [as(place.ada), as(place.bob), as(place.mia), as(place.root)];
  const acme = await ada.organizations.create({ name: "Acme", slug: slug() });
  const globex = await bob.organizations.create({ name: "Globex", slug: slug() });

  await organizations(ada, bob, acme.id, globex.id);
  await people(ada, bob, mia, place, acme.id);
  await mfa(mia, place, acme.id);
  await policies(ada, mia, place, acme.id);
  await apiKeys(ada, acme.id);
  await webhooks(ada, bob, acme.id, place.receiver);
  await audit(ada, bob, root, place, acme.id, globex.id);
  await compliance(ada, bob, root, acme.id);
  await security(ada, bob, root, place, acme.id);
  await limits(ada, root, acme.id);
  await metrics(root);
  await encryption(ada, root, runtime.connect(place.ada.token), acme);
  await signIn(runtime, place, recorded);
  await refused("RBAC_PERMISSION_DENIED", bob.organizations.delete(globex.id, globex.slug));
  await root.organizations.delete(globex.id, globex.slug);
  return recorded;
}
