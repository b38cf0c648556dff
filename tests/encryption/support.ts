/** Shared by the tests of encryption: the function over HTTP, and the demo's table of contacts. */
import assert from "node:assert/strict";
import {
  callFunction,
  createOrganization,
  join,
  type Person,
  schedulerSecret,
  signUp,
} from "../support.ts";

/** An answer of the function. */
export interface Answer {
  status: number;
  // deno-lint-ignore no-explicit-any -- each test asserts what it reads
  body: any;
}

/** Calls the function with a token. */
export async function call(token: string | null, path: string, body: unknown): Promise<Answer> {
  const answer = await callFunction(`encryption/${path}`, { token, method: "POST", body });
  return { status: answer.status, body: await answer.json() };
}

/** The answer of a call that must succeed. */
export async function done(token: string, path: string, body: unknown) {
  const answer = await call(token, path, body);
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  return answer.body;
}

/** All matches of a search, over as many answers as needed. */
export async function findAll(token: string, asked: Record<string, unknown>): Promise<string[]> {
  const keys: string[] = [];
  for (let cursor: string | null = null;;) {
    const { primary_keys, next } = await done(token, "find", { ...asked, cursor });
    keys.push(...primary_keys);
    if (next === null) return keys;
    cursor = next;
  }
}

/** The scheduler's call. */
export const work = (body: Record<string, unknown> = {}) => done(schedulerSecret, "work", body);

/** Contacts of one organization, its people and their calls. */
export interface Contacts {
  organization: string;
  admin: Person;
  analyst: Person;
  viewer: Person;
}

export async function makeContacts(): Promise<Contacts> {
  const [admin, analyst, viewer] = [
    await signUp("admin"),
    await signUp("analyst"),
    await signUp("viewer"),
  ];
  const organization = await createOrganization(admin);
  await join(admin, organization, analyst, "analyst");
  await join(admin, organization, viewer, "viewer");
  return { organization, admin, analyst, viewer };
}

/** Writes a contact like a frontend: encrypts it first, then inserts it under the policies. */
export async function addContacts(
  { organization, analyst }: Contacts,
  emails: string[],
): Promise<string[]> {
  const ids = emails.map(() => crypto.randomUUID());
  const { rows } = await done(analyst.token, "encrypt", {
    table: "contacts",
    organization_id: organization,
    rows: emails.map((email, row) => ({ primary_key: ids[row], fields: { email } })),
  });
  const inserted = await table(analyst).insert(
    rows.map((row: { primary_key: string; fields: Record<string, string> }) => ({
      id: row.primary_key,
      organization_id: organization,
      name: "Somebody",
      ...row.fields,
    })),
  );
  assert.equal(inserted.error, null);
  return ids;
}

/** The demo's table, which is not in the generated types. */
export function table({ client }: Person) {
  // deno-lint-ignore no-explicit-any -- the generated types have schema bulwark alone
  return (client as any).schema("public").from("contacts");
}

/** Texts of contacts by id. */
export async function readContacts(person: Person, ids: string[]): Promise<Record<string, string>> {
  const { rows } = await done(person.token, "decrypt", {
    table: "contacts",
    columns: ["email"],
    primary_keys: ids,
  });
  return Object.fromEntries(
    rows.map((row: { primary_key: string; fields: { email: string } }) => [
      row.primary_key,
      row.fields.email,
    ]),
  );
}
