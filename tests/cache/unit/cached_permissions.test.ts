/** Cached permissions: a list is used only when the database has just said that it is current. */
import assert from "node:assert/strict";
import { Cache } from "../../../supabase/functions/_bulwark/cache/cache.ts";
import {
  cachedPermissions,
  type PermissionsAnswer,
} from "../../../supabase/functions/_bulwark/cache/cached_permissions.ts";

const make = () =>
  new Cache(null, {
    memory: { maxEntries: 100, maxSize: 100_000 },
    memorySeconds: 5,
    loadWait: 100,
  });
const ada = { subject: "ada", session: "s1" };

/** Permissions of a user in a database, with a version that every change increments. */
function database(user: string) {
  const rows = { version: 1, permissions: ["a:read", "a:write"] };
  const sent: number[] = [];
  const ask = (known: string | null): Promise<PermissionsAnswer> => {
    const version = `${user}-${rows.version}`;
    const permissions = known === version ? null : [...rows.permissions];
    sent.push(permissions?.length ?? 0);
    return Promise.resolve({ version, permissions });
  };
  const set = (permissions: string[]) => {
    rows.permissions = permissions;
    rows.version++;
  };
  return { ask, set, sent };
}

Deno.test("CACHE-P01: unchanged permissions are not fetched again; changed ones are, at once", async () => {
  const cache = make();
  const { ask, set, sent } = database("ada");
  const read = async () => [...await cachedPermissions(cache, ada, "o", ask)];
  assert.deepEqual([await read(), await read()], [["a:read", "a:write"], ["a:read", "a:write"]]);
  set(["a:read"]);
  assert.deepEqual([await read(), await read()], [["a:read"], ["a:read"]]);
  assert.deepEqual(sent, [2, 0, 1, 0]);
});

Deno.test("CACHE-P02: an answer from before a revocation that arrives after it is not used again", async () => {
  const cache = make();
  const { ask, set } = database("ada");
  const { promise, resolve } = Promise.withResolvers<void>();
  const late = cachedPermissions(cache, ada, "o", async (known) => {
    const answer = await ask(known);
    await promise;
    return answer;
  });
  await new Promise((resolve) => setTimeout(resolve, 1));
  set([]);
  assert.equal((await cachedPermissions(cache, ada, "o", ask)).size, 0);
  resolve();
  assert.equal((await late).size, 2, "who asked before the revocation was told what was then");
  assert.equal((await cachedPermissions(cache, ada, "o", ask)).size, 0, "nobody after it");
});

Deno.test("CACHE-P03: a list of one user, session or organization is never another's", async () => {
  const cache = make();
  await cachedPermissions(cache, ada, "o", database("ada").ask);
  const eve = database("eve");
  eve.set([]);
  // Eve claims to be Ada: the entry is found, but her version differs.
  assert.equal((await cachedPermissions(cache, ada, "o", eve.ask)).size, 0);
  for (
    const [holder, organization] of [
      [{ ...ada, session: "s2" }, "o"],
      [{ ...ada, session: null }, "o"],
      [ada, "p"],
      [ada, null],
    ] as const
  ) {
    let asked: string | null = "";
    await cachedPermissions(cache, holder, organization, (known) => {
      asked = known;
      return Promise.resolve({ version: "x", permissions: [] });
    });
    assert.equal(asked, null);
  }
});

Deno.test("CACHE-P04: an error of the database is an error, whatever is cached", async () => {
  const cache = make();
  await cachedPermissions(cache, ada, "o", database("ada").ask);
  const away = () => Promise.reject(new Error("away"));
  await assert.rejects(cachedPermissions(cache, ada, "o", away), /away/);
});
