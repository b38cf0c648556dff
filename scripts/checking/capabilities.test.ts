/** No capability refers to one that may be missing. Exact for SQL that names objects with their schema. */
import assert from "node:assert/strict";
import { dirname, join, relative } from "node:path";
import { capabilities, type Capability, closure, sharedAlways } from "../building/capabilities.ts";
import { placesOf, readSources } from "../building/owners.ts";
import { inRepository } from "../stack/paths.ts";
import { filesBelow } from "../testing/selection.ts";

/** The capability of a place; the start has what the core has. */
const owned = (place: number): Capability | undefined => capabilities[place];
const closureAt = (place: number) => closure(owned(place) ? [owned(place)!.name] : []);

Deno.test("sources refer to nothing that is installed later or perhaps not at all", async () => {
  const sources = await readSources();
  const places = placesOf(sources);
  const wrong = sources.flatMap(({ path, place, named }) =>
    named.flatMap((name) => {
      const maker = places.get(name);
      if (maker === undefined) return [];
      // Rows of catalogues are read when everything is there, objects also by what is built on them.
      const isEarlier = maker <= place || name.startsWith("'");
      const isThere = maker === place || closureAt(place).includes(capabilities[maker]!);
      return isThere && isEarlier ? [] : [`${path}: ${name} of ${capabilities[maker]?.name}`];
    })
  );
  assert.deepEqual(wrong, []);
  assert.ok(places.size > 500, "the scan finds the objects");
});

Deno.test("edge functions call and import only what their capability needs", async () => {
  const places = placesOf(await readSources());
  const wrong: string[] = [];
  for (const path of await filesBelow("supabase/functions", ".ts")) {
    const owner = ownerOf(path);
    const there = closure([owner]).map(({ name }) => name);
    const text = await Deno.readTextFile(inRepository(path));
    for (const [, name] of text.matchAll(/\.(?:rpc|from)\(\s*"(\w+)"/g)) {
      const maker = places.get(`bulwark.${name}`);
      if (maker === undefined || !there.includes(capabilities[maker]!.name)) {
        wrong.push(`${path} calls ${name}`);
      }
    }
    for (const [, target] of text.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)) {
      const imported = ownerOf(relative("/", join("/", dirname(path), target!)));
      if (![...there, ...sharedAlways].includes(imported)) wrong.push(`${path} imports ${target}`);
    }
  }
  assert.deepEqual(wrong, []);
});

/** The capability that a file of supabase/functions belongs to. */
function ownerOf(path: string): string {
  const [, , folder = "", noun = ""] = path.split("/");
  const owner = capabilities.find(({ name, functions }) =>
    folder === "_bulwark" ? name === noun : functions.includes(folder)
  );
  assert.ok(owner, `${path} belongs to a capability`);
  return owner.name;
}
