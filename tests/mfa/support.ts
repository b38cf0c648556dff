/** Shared by the tests of MFA: an authenticator app, and calls of the function. */
import assert from "node:assert/strict";
import { createClient } from "@supabase/supabase-js";
import { HOTP, Secret } from "otpauth";
import type { Database } from "../../supabase/functions/_bulwark/foundation/database.types.ts";
import {
  anonymous,
  callFunction,
  type Client,
  type Person,
  publishableKey,
  signUp,
  url,
} from "../support.ts";

/** An answer of the function. */
export interface Answer {
  status: number;
  // deno-lint-ignore no-explicit-any -- each test asserts what it reads
  body: any;
}

/** Calls the function `bulwark-mfa` with a token. */
export async function call(token: string, path: string, body?: unknown): Promise<Answer> {
  const answer = await callFunction(`mfa${path}`, { token, body });
  return { status: answer.status, body: await answer.json() };
}

/** The body of a call that must succeed. */
export async function done(token: string, path: string, body?: unknown) {
  const answer = await call(token, path, body);
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  return answer.body;
}

/** The refusal of every wrong code. */
export const refused = "403 MFA_CODE_REFUSED";

/** Status and code of a call that must be refused. */
export async function refusal(token: string, path: string, body?: unknown): Promise<string> {
  const answer = await call(token, path, body);
  assert.ok(answer.status >= 400, `${path} was not refused`);
  return `${answer.status} ${answer.body.code}`;
}

/** The code of an authenticator app at a time, in milliseconds since 1970. */
export function codeAt(secret: string, time: number): string {
  return HOTP.generate({
    secret: Secret.fromBase32(secret),
    counter: Math.floor(time / 30_000),
    digits: 6,
  });
}

/**
 * Waits until 3 to 15 seconds into a time step, so that a code computed for a shifted clock is still
 * the same when the answer comes.
 */
export async function earlyInStep(): Promise<number> {
  const into = () => Date.now() % 30_000;
  while (into() < 3_000 || into() > 15_000) {
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  return Date.now();
}

/** Somebody with a factor, whose session activating it has verified. */
export interface Enrolled extends Person {
  secret: string;
  factorId: string;
  backupCodes: string[];
}

/** Signs up and enrolls; the code of the step before the present one is spent on it. */
export async function enrolled(name: string): Promise<Enrolled> {
  return await enroll(await signUp(name));
}

/** Enrolls somebody who has signed up. */
export async function enroll(person: Person): Promise<Enrolled> {
  const begun = await done(person.token, "/enroll", { name: "Phone" });
  // That code is refused from the next step on, which must not begin before it arrives.
  while (Date.now() % 30_000 > 25_000) await new Promise((resolve) => setTimeout(resolve, 250));
  const activated = await done(person.token, "/activate", {
    code: codeAt(begun.secret, Date.now() - 30_000),
  });
  return {
    ...person,
    secret: begun.secret,
    factorId: begun.factor_id,
    backupCodes: activated.backup_codes,
  };
}

/** The same account, signed in once more, as on a second device. */
export async function signInAgain<P extends Person>(person: P): Promise<P> {
  const client = anonymous();
  const { email, password } = person;
  const { data, error } = await client.auth.signInWithPassword({ email, password });
  assert.equal(error, null);
  assert.ok(data.session);
  return { ...person, client, token: data.session.access_token };
}

/** A client that goes on using a token, whatever becomes of its session. */
export function clientWith(token: string): Client {
  return createClient<Database>(url, publishableKey, {
    db: { schema: "bulwark" },
    accessToken: () => Promise.resolve(token),
  });
}
