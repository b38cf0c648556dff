/** Runs in the page of the sample app: does as people do, then calls each namespace. */
import { apiKeyToken } from "../../clients/js/src/api_key.ts";
import { createBulwark } from "../../clients/js/src/index.ts";
import { createClient } from "@supabase/supabase-js";
import { codeOf } from "./steps.ts";

/** The person who uses the sample, and the addresses. */
export interface SampleSettings {
  url: string;
  publishableKey: string;
  email: string;
  password: string;
  token: string;
  /** An organization that the person administers, and one in which they only read. */
  own: string;
  other: string;
}

/** The result of the page. */
export interface SampleResult extends Awaited<ReturnType<typeof use>> {
  called: Record<string, string | null>;
  missing: string[];
  /** Whether an API key works from a page, too. */
  program: { read: string | null; written: string | null };
  error?: undefined;
}

/** The parts of the page that the driver uses; Deno has no types of the DOM. */
interface Part {
  textContent: string;
  value: string;
  elements: Record<string, Part>;
  requestSubmit(): void;
  click(): void;
  dispatchEvent(event: Event): void;
  getAttribute(name: string): string | null;
}
declare const document: { querySelector(selector: string): Part | null };

async function until<Value>(reason: string, look: () => Value): Promise<NonNullable<Value>> {
  for (let attempt = 0; attempt < 800; attempt++) {
    const found = look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`waited in vain: ${reason}; ${document.querySelector("#root")?.textContent}`);
}

const find = (selector: string) => until(selector, () => document.querySelector(selector));
const problem = async () => (await find("[role=alert]")).getAttribute("data-code");

async function submit(form: string, fields: Record<string, string> = {}) {
  const part = await find(`form[name=${form}]`);
  for (const [name, value] of Object.entries(fields)) part.elements[name]!.value = value;
  part.requestSubmit();
}

async function use({ email, password, own, other }: SampleSettings) {
  await submit("sign-in", { email, password: "wrong" });
  const refused = [await problem()];
  await submit("sign-in", { email, password });
  const me = (await find("#me")).textContent;
  await submit("enrol");
  const secret = (await find("#secret")).textContent;
  await submit("activate", { code: "x" });
  refused.push(await problem());
  await submit("activate", { code: codeOf(secret) });
  const backupCodes = (await find("#backup-codes")).textContent.split(": ")[1]?.split(" ").length;

  const choose = async (organization: string) => {
    const list = await find("#organization");
    list.value = organization;
    list.dispatchEvent(new Event("change", { bubbles: true }));
  };
  await choose(own);
  await submit("invite", { email: `${"e".repeat(65)}@people.test` });
  refused.push(await problem());
  await submit("invite", { email: `eve-${crypto.randomUUID()}@people.test` });
  await find("#invited");
  const log = await until("an entry", () => document.querySelector("#audit-log li")?.textContent);
  await choose(other);
  await find("#no-invitations");
  const guarded = document.querySelector("form[name=invite]") === null;
  (await find("#sign-out")).click();
  await find("form[name=sign-in]");
  return { refused, me, backupCodes, log, guarded };
}

/** A call of each namespace; the code of each that is refused. */
async function callAll({ url, publishableKey, token, own }: SampleSettings) {
  const bulwark = createBulwark(
    createClient(url, publishableKey, {
      auth: { persistSession: false, autoRefreshToken: false, storageKey: "calls" },
      global: { headers: { authorization: `Bearer ${token}` } },
    }),
  );
  const calls = {
    organizations: bulwark.organizations.list(),
    members: bulwark.members.list(own),
    invitations: bulwark.invitations.list(own),
    roles: bulwark.roles.list(own),
    mfa: bulwark.mfa.status(),
    audit: bulwark.audit.search({ organization_id: own }),
    apiKeys: bulwark.apiKeys.options(own),
    security: bulwark.security.list(own),
    limits: bulwark.limits.rules(),
    webhooks: bulwark.webhooks.list(own),
    metrics: bulwark.metrics.list(),
    sessions: bulwark.sessions.list(),
    settings: bulwark.settings.list(),
    encryption: bulwark.encryption.overview(own),
    compliance: bulwark.compliance.subject(),
    reviews: bulwark.reviews.list(own),
  };
  const called = await Promise.all(
    Object.entries(calls).map(async ([name, call]) => [name, (await call).error?.code ?? null]),
  );
  const missing = Object.entries(bulwark)
    .filter(([name, part]) => typeof part === "object" && !(name in calls)).map(([name]) => name);
  return { called: Object.fromEntries(called) as Record<string, string | null>, missing };
}

/** Reads and writes from a page as a program with an API key of the person's organization does. */
async function callAsProgram({ url, publishableKey, token, own }: SampleSettings) {
  const as = (accessToken: () => Promise<string>) =>
    createClient(url, publishableKey, { accessToken });
  const person = createBulwark(as(() => Promise.resolve(token)), { throwOnError: true });
  const { api_key } = await person.apiKeys.create(own, {
    name: "page",
    scopes: ["analytics:read"],
  });
  const reports = as(apiKeyToken({ url, apiKey: api_key })).from("reports");
  const read = await reports.select("title").eq("organization_id", own);
  const written = await reports.insert({ organization_id: own, title: "no" });
  return { read: read.error?.code ?? null, written: written.error?.code ?? null };
}

const tell = (result: unknown) =>
  fetch("/result", { method: "POST", body: JSON.stringify(result) });
const settings: SampleSettings = await (await fetch("/settings")).json();
try {
  const program = await callAsProgram(settings);
  await tell({ program, ...await callAll(settings), ...await use(settings) });
} catch (error) {
  await tell({ error: String(error) });
}
