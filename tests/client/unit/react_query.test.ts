/** The table of calls that read and that write. */
import assert from "node:assert/strict";
import { createBulwark } from "../../../clients/js/src/index.ts";
import { bulwarkQueries } from "../../../clients/js/src/react_query.ts";

const refuse = () => assert.fail("asked");
const client = createBulwark({ rpc: refuse, from: refuse, functions: { invoke: refuse } }, {
  throwOnError: true,
});
const queries = bulwarkQueries(client);

/** The paths of all functions. */
function pathsOf(part: object, above = ""): string[] {
  return Object.entries(part).flatMap(([name, value]) =>
    typeof value === "function"
      ? [above + name]
      : typeof value === "object" && !Array.isArray(value)
      ? pathsOf(value, `${above}${name}.`)
      : []
  ).sort();
}

Deno.test("CLIENT-21: each call of the client is a query or a mutation, except for streams", () => {
  const calls = pathsOf(client);
  assert.ok(calls.length > 100);
  // Those of one permission and of all serve for several.
  assert.deepEqual(
    pathsOf(queries),
    calls.filter((path) =>
      ![
        "audit.export",
        "canAll",
        "compliance.subjectFile",
        "compliance.subjectRows",
      ].includes(path)
    ),
  );
});

Deno.test("CLIENT-22: keys begin with their namespace, and left out arguments make no other key", () => {
  const { queryKey } = queries.members.list("one", undefined);
  assert.deepEqual(queryKey, ["bulwark", "members", "list", "one"]);
  assert.deepEqual(queryKey.slice(0, 2), queries.members.queryKey);
  assert.deepEqual(queries.can("audit:read", null).queryKey, ["bulwark", "permissions", null]);
  const entries = queries.audit.entries({ organization_id: "one" });
  assert.deepEqual(entries.queryKey.slice(0, 2), queries.audit.queryKey);
});

Deno.test("CLIENT-23: a limit is waited for if it is short, and a refusal stays one", () => {
  const { retry, retryDelay } = queries.organizations.list();
  assert.ok(typeof retry === "function" && typeof retryDelay === "function");
  const error = (status: number, retryAfter?: number) => ({ status, retryAfter }) as never;
  const again = [0, 500, 503, 429, 401, 403, 409].map((status) => retry(0, error(status)));
  assert.deepEqual(again, [true, true, true, true, false, false, false]);
  assert.deepEqual([retry(0, error(429, 60)), retry(0, error(429, 61))], [true, false]);
  assert.equal(retry(3, error(503)), false);
  assert.deepEqual([retryDelay(0, error(429, 7)), retryDelay(2, error(500))], [7000, 4000]);
});
