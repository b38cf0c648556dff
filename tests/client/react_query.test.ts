/** The options for TanStack Query, with its real client against the running stack. */
import assert from "node:assert/strict";
import {
  environmentManager,
  InfiniteQueryObserver,
  MutationObserver,
  QueryClient,
  QueryObserver,
} from "@tanstack/react-query";
import type { BulwarkError } from "../../clients/js/src/index.ts";
import { bulwarkQueries } from "../../clients/js/src/react_query.ts";
import {
  connect,
  createOrganization,
  freshSlug,
  join,
  liftLimits,
  type Person,
  signUp,
} from "../support.ts";
import { createBulwark, supabaseWith } from "./support.ts";

// Deno is a server to it, and servers do not poll.
environmentManager.setIsServer(() => false);
await liftLimits();
const [ada, bob, mia] = [await signUp("ada"), await signUp("bob"), await signUp("mia")];
const [acme, globex] = [await createOrganization(ada), await createOrganization(bob)];
await join(ada, acme, mia, "analyst");

function open({ token }: Pick<Person, "token">, interval = 60_000) {
  const bulwark = createBulwark(supabaseWith(token), { throwOnError: true });
  return { bulwark, queries: bulwarkQueries(bulwark, { interval }), cache: new QueryClient() };
}

async function until(reason: string, look: () => unknown): Promise<void> {
  for (let attempt = 0; attempt < 400; attempt++) {
    if (look()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  assert.fail(`waited in vain: ${reason}`);
}

const refusedBy = async (call: Promise<unknown>) => {
  const thrown = await call.then(() => null, (thrown: BulwarkError) => thrown);
  return thrown?.code;
};

Deno.test("CLIENT-E10: a mutation makes out of date what it changes, and nothing else", async () => {
  const { queries, cache } = open(ada);
  const members = new QueryObserver(cache, queries.members.list(acme));
  const why = new QueryObserver(cache, queries.roles.explain(mia.id, "audit:read", acme));
  const stop = [members.subscribe(() => {}), why.subscribe(() => {})];
  await until("members", () => members.getCurrentResult().data && why.getCurrentResult().data);
  const rules = queries.limits.rules();
  await cache.fetchQuery(rules);
  const isOld = (queryKey: readonly unknown[]) => cache.getQueryState(queryKey)?.isInvalidated;
  const rolesOf = (id: string) =>
    members.getCurrentResult().data?.find(({ user_id }) => user_id === id)?.roles
      .map(({ role }) => role);
  assert.deepEqual(rolesOf(mia.id), ["analyst"]);
  const set = new MutationObserver(cache, queries.members.setRoles());
  await set.mutate([acme, mia.id, ["viewer"]]);
  await until("the new role", () => rolesOf(mia.id)?.join() === "viewer");
  assert.equal(isOld(rules.queryKey), false);
  // Refused: the list is asked again all the same, and shows what is true.
  const asked = () => cache.getQueryState(queries.members.list(acme).queryKey)?.dataUpdateCount;
  const before = asked() ?? 0;
  assert.equal(await refusedBy(set.mutate([acme, bob.id, ["viewer"]])), "RBAC_NOT_A_MEMBER");
  await until("asked again", () => (asked() ?? 0) > before);
  assert.deepEqual(rolesOf(mia.id), ["viewer"]);
  const create = new MutationObserver(cache, queries.organizations.create());
  const { id } = await create.mutate([{ name: "Third", slug: freshSlug() }]);
  assert.deepEqual(
    (await cache.fetchQuery(queries.organizations.list())).map((one) => one.id).includes(id),
    true,
  );
  for (const end of stop) end();
  cache.clear();
});

Deno.test("CLIENT-E11: one poll of whoami by version brings a permission that was taken away", async () => {
  const { queries, cache, bulwark } = open(mia, 200);
  const me = new QueryObserver(cache, queries.whoami());
  const can = new QueryObserver(cache, queries.can("analytics:read", acme));
  const elsewhere = new QueryObserver(cache, queries.can("analytics:read", globex));
  let told = 0;
  const stop = [me.subscribe(() => told++), can.subscribe(() => {}), elsewhere.subscribe(() => {})];
  await until("may read", () => can.getCurrentResult().data === true);
  await until("elsewhere", () => elsewhere.getCurrentResult().data === false);
  const { version } = await bulwark.whoami();
  await until("several polls", () => told > 6);
  assert.equal(me.getCurrentResult().data?.version, version);
  const updates = () =>
    cache.getQueryState(queries.can("analytics:read", acme).queryKey)?.dataUpdateCount;
  assert.equal(updates(), 1, "permissions are not polled by themselves");
  const administrator = open(ada);
  await administrator.bulwark.roles.create(acme, { name: "nothing", permissions: [] });
  await administrator.bulwark.members.setRoles(acme, mia.id, ["nothing"]);
  await until("may read no more", () => can.getCurrentResult().data === false);
  for (const end of stop) end();
  cache.clear();
});

Deno.test("CLIENT-E12: another account begins with nothing of the one before", async () => {
  let current = supabaseWith(ada.token);
  const { functions } = current;
  const live = createBulwark({
    rpc: (name, args) => current.schema("bulwark").rpc(name, args),
    from: (table) => current.schema("bulwark").from(table),
    functions,
  }, { throwOnError: true });
  const queries = bulwarkQueries(live);
  const cache = new QueryClient();
  await cache.fetchQuery(queries.whoami());
  await cache.fetchQuery(queries.members.list(acme));
  current = supabaseWith(bob.token);
  const { user } = await cache.fetchQuery(queries.whoami());
  assert.equal(user.id, bob.id);
  assert.equal(cache.getQueryData(queries.members.list(acme).queryKey), undefined);
  assert.equal(
    await refusedBy(cache.fetchQuery(queries.members.list(acme))),
    "RBAC_PERMISSION_DENIED",
  );
  cache.clear();
});

Deno.test("CLIENT-E13: the audit log and members come page by page, each once", async () => {
  const { bulwark, queries, cache } = open(ada);
  for (let number = 0; number < 7; number++) {
    await bulwark.audit.log({
      event_type: "data.read",
      organization_id: acme,
      details: { number },
    });
  }
  const filter = { organization_id: acme, page_size: 3 };
  const log = new InfiniteQueryObserver(cache, queries.audit.entries(filter));
  const people = new InfiniteQueryObserver(cache, queries.members.all(acme, { page_size: 1 }));
  const stop = [log.subscribe(() => {}), people.subscribe(() => {})];
  await until("pages", () => log.getCurrentResult().data && people.getCurrentResult().data);
  while (log.getCurrentResult().hasNextPage) await log.fetchNextPage();
  while (people.getCurrentResult().hasNextPage) await people.fetchNextPage();
  const expected: string[] = [];
  for await (const { id } of bulwark.audit.entries({ organization_id: acme })) expected.push(id);
  const pages = log.getCurrentResult().data?.pages ?? [];
  assert.ok(pages.length > 2);
  assert.deepEqual(pages.flatMap(({ entries }) => entries).map(({ id }) => id), expected);
  const found = people.getCurrentResult().data?.pages.flat().map(({ user_id }) => user_id).sort();
  assert.deepEqual(found, [ada.id, mia.id].sort());
  for (const end of stop) end();
  cache.clear();
});

Deno.test("CLIENT-E19: a page size that the database does not give leaves no row out", async () => {
  const organization = await createOrganization(ada);
  const owner = connect(1);
  await owner`
    insert into bulwark.invitations (organization_id, email, role_id, expires_at)
    select ${organization}, format('invited-%s@example.com', n), r.id, now() + interval '1 day'
    from bulwark.roles r, generate_series(1, 1001) n
    where r.organization_id is null and r.name = 'viewer'`;
  await owner.end();
  const { bulwark, queries, cache } = open(ada);
  const emails = new Set<string>();
  const filter = { page_size: 5000 };
  for await (const { email } of bulwark.invitations.all(organization, filter)) emails.add(email);
  assert.equal(emails.size, 1001);
  const list = new InfiniteQueryObserver(cache, queries.invitations.all(organization, filter));
  const stop = list.subscribe(() => {});
  await until("the first page", () => list.getCurrentResult().data);
  while (list.getCurrentResult().hasNextPage) await list.fetchNextPage();
  assert.deepEqual(list.getCurrentResult().data?.pages.map(({ length }) => length), [1000, 1]);
  stop();
  cache.clear();
  const none = bulwark.invitations.all(organization, { page_size: 0, states: ["declined"] });
  assert.deepEqual(await none.next(), { done: true, value: undefined }, "an empty list ends");
  const strange = open(bob).bulwark.invitations.all(organization, filter);
  assert.equal(await refusedBy(strange.next()), "RBAC_PERMISSION_DENIED");
});

Deno.test("CLIENT-E14: a refusal is asked once, an outage again", async () => {
  const down = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () => {
    attempts++;
    return Response.json({ message: "no" }, { status });
  });
  let [attempts, status] = [0, 403];
  const bulwark = createBulwark(
    supabaseWith(ada.token, `http://127.0.0.1:${down.addr.port}`),
    { throwOnError: true },
  );
  const queries = bulwarkQueries(bulwark);
  const cache = new QueryClient();
  const observe = async () => {
    const observer = new QueryObserver(cache, { ...queries.organizations.list(), retryDelay: 1 });
    const stop = observer.subscribe(() => {});
    await until("an error", () => observer.getCurrentResult().isError);
    stop();
    cache.clear();
    return attempts;
  };
  assert.equal(await observe(), 1);
  [attempts, status] = [0, 502];
  assert.equal(await observe(), 4);
  await down.shutdown();
});

Deno.test("CLIENT-E21: a limit is waited for as long as it says, up to a minute", async () => {
  const at: number[] = [];
  let seconds = 1;
  const limited = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () => {
    at.push(Date.now());
    return at.length > 1 ? Response.json([]) : Response.json(
      {
        code: "PT429",
        details: "RATE_LIMIT_EXCEEDED",
        hint: `Try again in ${seconds} seconds`,
        message: "Too many requests",
      },
      { status: 429 },
    );
  });
  const bulwark = createBulwark(
    supabaseWith(ada.token, `http://127.0.0.1:${limited.addr.port}`),
    { throwOnError: true },
  );
  const queries = bulwarkQueries(bulwark);
  const observe = async () => {
    at.length = 0;
    const cache = new QueryClient();
    const observer = new QueryObserver(cache, queries.organizations.list());
    const stop = observer.subscribe(() => {});
    await until("an answer", () => !observer.getCurrentResult().isLoading);
    stop();
    return observer.getCurrentResult();
  };
  assert.equal((await observe()).isSuccess, true);
  assert.ok(at.length === 2 && at[1]! - at[0]! >= 1000, `asked at ${at}`);
  seconds = 61;
  const { error } = await observe();
  assert.equal(error?.retryAfter, 61, "a person sees how long");
  assert.equal(at.length, 1);
  await limited.shutdown();
});
