/** The parts that each step of the journey needs. */
import { HOTP, Secret } from "otpauth";
import type { BulwarkError, Client, SupabaseLike } from "../../clients/js/src/index.ts";

/** Somebody who is signed in. */
export interface Traveller {
  id: string;
  email: string;
  password: string;
  token: string;
}

/** Where the journey goes, and who goes. */
export interface Place {
  url: string;
  publishableKey: string;
  secretKey: string;
  schedulerSecret: string;
  /** Receives webhooks and answers 204. */
  receiver: string;
  /** The administrators of two organizations, a member of the first, and a super_admin. */
  ada: Traveller;
  bob: Traveller;
  mia: Traveller;
  root: Traveller;
}

/** Opens clients as this runtime does. */
export interface Runtime {
  createBulwark: typeof import("../../clients/js/src/index.ts").createBulwark;
  /** A client of Supabase with a token, for the host's own tables too. */
  connect(token: string): SupabaseLike;
}

/** A call: its path, and the data of an answer. */
export interface Recorded {
  path: string;
  data?: unknown;
}

/** A client that throws. */
export type Bulwark = Client<true>;

/** Seals all entries and signs the log's head. */
export async function sealed(place: Place) {
  await service(place, "seal_audit_log", {});
  const answer = await fetch(`${place.url}/functions/v1/bulwark-audit/checkpoint`, {
    method: "POST",
    headers: { apikey: place.publishableKey, authorization: `Bearer ${place.schedulerSecret}` },
  });
  equal(answer.status, 200, await answer.text());
}

export async function service(place: Place, name: string, body: object) {
  const answer = await fetch(`${place.url}/rest/v1/rpc/${name}`, {
    method: "POST",
    headers: {
      apikey: place.secretKey,
      authorization: `Bearer ${place.secretKey}`,
      "content-type": "application/json",
      "content-profile": "bulwark",
    },
    body: JSON.stringify(body),
  });
  const text = await answer.text();
  equal(answer.ok, true, text);
}

/** A client that records the answers of its calls; streams and refusals by name alone. */
export function recording<Part extends object>(part: Part, recorded: Recorded[], above = ""): Part {
  return Object.fromEntries(
    Object.entries(part).map(([name, value]) => {
      const path = above + name;
      if (typeof value === "object") return [name, recording(value, recorded, `${path}.`)];
      return [name, (...args: unknown[]) => {
        const answer = value(...args);
        if (!(answer instanceof Promise)) recorded.push({ path });
        else answer.then((data) => recorded.push({ path, data }), () => recorded.push({ path }));
        return answer;
      }];
    }),
  ) as Part;
}

/** The code of an authenticator app, some steps ahead. */
export function codeOf(secret: string, ahead = 0): string {
  const counter = Math.floor(Date.now() / 30_000) + ahead;
  return HOTP.generate({ secret: Secret.fromBase32(secret), counter, digits: 6 });
}

export function byte(): number {
  return crypto.getRandomValues(new Uint8Array(1))[0] ?? 0;
}

export function slug(): string {
  return `org-${crypto.randomUUID().slice(0, 13)}`;
}

export function now(): string {
  return new Date().toISOString();
}

export async function eventually<Value>(look: () => Promise<Value>): Promise<NonNullable<Value>> {
  for (let attempt = 0; attempt < 300; attempt++) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("it did not happen within 30 seconds");
}

export async function refused(code: BulwarkError["code"], call: Promise<unknown>) {
  const thrown = await call.then(() => null, (thrown: unknown) => thrown);
  const { name, code: found } = (thrown ?? {}) as BulwarkError;
  equal([name, found], ["BulwarkError", code], String(thrown));
}

export function equal(found: unknown, expected: unknown, message = "") {
  const [one, other] = [JSON.stringify(found), JSON.stringify(expected)];
  if (one !== other) throw new Error(`${message}: found ${one}, expected ${other}`);
}
