/**
 * Every operation of the document with generated inputs, by role: no 500, no code, status or field
 * that is not described. By default an administrator tries each operation once, others every third;
 * BULWARK_TEST_CASES gives everybody so many cases of each, BULWARK_TEST_SEED other ones.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  createOrganization,
  join,
  liftLimits,
  type Person,
  publishableKey,
  schedulerSecret,
  signUp,
  url,
} from "../support.ts";
import { type Known, valueFor } from "./arbitraries.ts";
import { faultOf, type Operation, operations, type Parameter, resolve } from "./document.ts";

const asked = Deno.env.get("BULWARK_TEST_CASES");
const cases = Number(asked ?? 1);
const seed = Number(Deno.env.get("BULWARK_TEST_SEED") ?? 1);

/** Calls after which the caller, the organization or its members are not what they were. Come last. */
const endings = /delete_organization|leave|session|shred|erase|remove_member|mfa_policy|suspend/;

/** The inputs of a request. */
interface Input {
  body: unknown;
  parameters: Record<string, unknown>;
}

function inputsOf(operation: Operation, known: Known): fc.Arbitrary<Input> {
  const schema = operation.requestBody?.content["application/json"].schema;
  const isTable = !schema && operation.path.startsWith("/rest/");
  const parameters = (operation.parameters ?? []).map(resolve)
    // The scheduler's run would wait for up to a minute.
    .filter((each: Parameter) => each.in !== "header" && each.name !== "wait_seconds");
  const own = fc.constant({ limit: 5 });
  return fc.record({
    body: schema ? valueFor(schema, known) : fc.constant(undefined),
    // Filters of a table are tested by PostgREST; a page of rows shows their form.
    parameters: isTable ? own : fc.record(
      Object.fromEntries(parameters.map((each) => [each.name, valueFor(each.schema, known)])),
      { requiredKeys: parameters.filter(({ required }) => required).map(({ name }) => name) },
    ),
  });
}

async function send(operation: Operation, input: Input, token: string | null) {
  let path = operation.path;
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(input.parameters)) {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    if (path.includes(`{${name}}`)) path = path.replace(`{${name}}`, encodeURIComponent(text));
    else query.set(name, text);
  }
  const answer = await fetch(`${url}${path}?${query}`, {
    method: operation.method,
    headers: {
      apikey: publishableKey,
      "content-type": "application/json",
      "accept-profile": "bulwark",
      "content-profile": "bulwark",
      ...token ? { authorization: `Bearer ${token}` } : {},
    },
    ...input.body === undefined ? {} : { body: JSON.stringify(input.body) },
  });
  const text = await answer.text();
  return faultOf(operation, answer.status, answer.headers.get("content-type") ?? "", text);
}

async function faultsAs(token: string | null, known: Known, some: Operation[]): Promise<string[]> {
  const found: string[] = [];
  const left = some.values();
  await Promise.all(Array.from({ length: 4 }, async () => {
    for (const operation of left) {
      for (const input of fc.sample(inputsOf(operation, known), { numRuns: cases, seed })) {
        const fault = await send(operation, input, token);
        if (!fault) continue;
        const { operationId } = operation;
        found.push(`${operationId} ${JSON.stringify(input).slice(0, 300)}: ${fault.slice(0, 400)}`);
      }
    }
  }));
  return found;
}

async function people(): Promise<{ admin: Person; member: Person; known: Known }> {
  await liftLimits();
  const admin = await signUp("admin");
  const member = await signUp("member");
  const other = await signUp("other");
  const organization = await createOrganization(admin);
  const foreign = await createOrganization(other);
  await join(admin, organization, member, "viewer");
  const ids = [...Array(5).fill(organization), foreign, admin.id, member.id, other.id];
  const texts = ["audit:read", "viewer", "api_default", "requests", member.email, "A name"];
  return { admin, member, known: { ids, texts } };
}

console.log(`BULWARK_TEST_SEED=${seed} BULWARK_TEST_CASES=${cases}`);
const { admin, member, known } = await people();
const isEnding = ({ operationId }: Operation) => endings.test(operationId);
const ordered = [
  ...operations.filter((each) => !isEnding(each)),
  ...operations.filter(isEnding),
];
const third = (of: number) => ordered.filter((_, index) => asked || index % 3 === of);
const roles: [string, string | null, Operation[]][] = [
  ["nobody", null, third(0)],
  ["a member", member.token, third(1)],
  ["an administrator", admin.token, ordered],
];

for (const [name, token, some] of roles) {
  Deno.test(`API-03: ${name} gets described answers alone, whatever is sent`, async () => {
    assert.deepEqual(await faultsAs(token, known, some), [], `seed ${seed}`);
  });
}

Deno.test("API-04: the scheduler gets described answers alone, whatever is sent", async () => {
  const scheduled = operations.filter(({ security }) => security.some((each) => each.scheduler));
  assert.ok(scheduled.length >= 4);
  assert.deepEqual(await faultsAs(schedulerSecret, known, scheduled), [], `seed ${seed}`);
});
