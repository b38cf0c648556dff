import { createClient } from "@supabase/supabase-js";
import { ApiKeyRefused, apiKeyToken } from "../../clients/js/src/api_key.ts";
import { Failure } from "../stack/failure.ts";
import { type DemoDatabase, expect, type Place, refused, signUp, step, title } from "./guide.ts";
import { withHook } from "./hook.ts";

/** A key for a script: its permissions and limits, its successor, its end, and its audit trail. */
export async function apiKeys(place: Place): Promise<void> {
  title("Ada makes a key for a script; it is shown once");
  const ada = await signUp(place, "Ada");
  const organizations = [];
  for (const name of ["Tour", "Elsewhere"]) {
    const slug = `${name.toLowerCase()}-${crypto.randomUUID().slice(0, 8)}`;
    const made = ada.bulwark.rpc("create_organization", { name, slug });
    organizations.push((await step(`Ada makes the organization ${name}`, made)).id);
  }
  const [organization_id = "", elsewhere = ""] = organizations;
  await refused(
    "Ada wants one that grants roles",
    "API_KEY_SCOPE_NOT_FOR_PROGRAMS",
    ada.bulwark.rpc("create_api_key", { organization_id, name: "script", scopes: ["role:grant"] }),
  );
  const key = await step(
    "Ada makes one that reads and writes analytics",
    ada.bulwark.rpc("create_api_key", {
      organization_id,
      name: "script",
      scopes: ["analytics:read", "analytics:write"],
    }),
  );
  console.log(`           ${key.first_characters}… until ${key.expires_at?.slice(0, 10)}`);

  title("The script works with supabase-js, under row-level security");
  const script = clientOf(place, key.api_key);
  const write = (client: typeof script, organization: string, title: string) =>
    client.from("reports").insert({ organization_id: organization, title });
  const read = (client: typeof script) => client.from("reports").select("title").order("id");
  await step(
    "Ada writes a report in both organizations by hand",
    write(ada.client, elsewhere, "x"),
  );
  await step("The script writes a report", write(script, organization_id, "By script"));
  await expect("It reads what is there", [{ title: "By script" }], read(script));
  await refused(
    "It writes where Ada may, but the key is not for",
    "42501",
    write(script, elsewhere, "y"),
  );
  await refused(
    "It makes itself another key",
    "42501",
    script.schema("bulwark").rpc("create_api_key", {
      organization_id,
      name: "x",
      scopes: ["analytics:read"],
    }),
  );

  title("Beyond its scope");
  const { api_key: narrow } = await step(
    "Ada makes a key that only reads",
    ada.bulwark.rpc("create_api_key", {
      organization_id,
      name: "reader",
      scopes: ["analytics:read"],
    }),
  );
  const reader = clientOf(place, narrow);
  await expect("It reads", [{ title: "By script" }], read(reader));
  await refused("It writes", "42501", write(reader, organization_id, "no"));

  title("Without an exchange: the key in the header x-api-key, straight to the Data API");
  await withHook(place, async () => {
    const direct = headerClientOf(place, narrow);
    await expect("It reads", [{ title: "By script" }], read(direct));
    await refused("It writes", "42501", write(direct, organization_id, "no"));
    const made_up = headerClientOf(place, `${narrow?.slice(0, -1)}_`);
    await refused("A key that is none reads", "API_KEY_INVALID", read(made_up));
  });

  title("Rotated: one successor, and an hour in which both work");
  const rotate = () =>
    ada.bulwark.rpc("rotate_api_key", { key_id: key.id ?? "", overlap: "1 hour" });
  const successor = await step("Ada rotates the script's key", rotate());
  await refused("Somebody rotates it again", "API_KEY_ALREADY_ROTATED", rotate());
  const next = clientOf(place, successor.api_key);
  await step("The successor writes", write(next, organization_id, "By its successor"));
  await step("The old key still writes", write(script, organization_id, "By the old key"));

  title("Revoked: the very next request, with the token from before");
  const revoke = (key_id: string | null) =>
    ada.bulwark.rpc("revoke_api_key", { key_id: key_id ?? "", because: "the script is gone" });
  await step("Ada revokes the successor", revoke(successor.id));
  await expect("It reads", [], read(next));
  await refused("It writes", "42501", write(next, organization_id, "Still here?"));
  await ends(
    "It asks for another token",
    () => apiKeyToken({ url: place.url, apiKey: successor.api_key ?? "" })(),
  );

  title("The trail");
  const entries = await step(
    "Ada reads what was done in her organization",
    ada.bulwark.from("audit_logs")
      .select("event_type, actor_type, actor_id, resource_id, after")
      .eq("organization_id", organization_id)
      .in("resource_type", ["public.reports", "bulwark.api_keys"]).order("id"),
  );
  const names = new Map([[key.id, "the script's key"], [successor.id, "its successor"]]);
  for (const { event_type, actor_id, actor_type } of entries) {
    console.log(`           ${event_type} by ${names.get(actor_id) ?? actor_type}`);
  }
  const written = entries.filter(({ actor_type }) => actor_type === "api_key");
  if (written.map(({ actor_id }) => actor_id).join() !== [key.id, successor.id, key.id].join()) {
    throw new Failure("TOUR", `the log names ${JSON.stringify(written)}`);
  }
  console.log("  ok       each report names the key that it was written with");
}

function clientOf(place: Place, apiKey: string | null) {
  return createClient<DemoDatabase>(place.url, place.publishableKey, {
    accessToken: apiKeyToken({ url: place.url, apiKey: apiKey ?? "" }),
  });
}

function headerClientOf(place: Place, apiKey: string | null) {
  return createClient<DemoDatabase>(place.url, place.publishableKey, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    global: { headers: { "x-api-key": apiKey ?? "" } },
  });
}

/** A step in which a key is refused; the function caches accepted keys for half a second. */
async function ends(says: string, token: () => Promise<string>): Promise<void> {
  for (let attempt = 0; attempt < 40; attempt++) {
    const answer = await token().then(() => null, (thrown) => thrown);
    if (answer instanceof ApiKeyRefused) {
      console.log(`  refused  ${says}: API_KEY_INVALID`);
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Failure("TOUR", `${says}: expected a refusal`);
}
