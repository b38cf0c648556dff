/** People, organizations and calls for the tests of the function `bulwark-audit`. */
import assert from "node:assert/strict";
import postgres from "postgres";
import type { Asked } from "../../clients/js/src/audit/bundle.ts";
import { inline } from "../../clients/js/src/audit/reader.ts";
import { verifyBundle } from "../../clients/js/src/audit/verify.ts";
import {
  parseVerifierKey,
  type VerifierKey,
} from "../../supabase/functions/_bulwark/audit/note.ts";
import {
  callFunction,
  createOrganization,
  liftLimits,
  ok,
  type Person,
  schedulerSecret,
  service,
  signUp,
  superuserUrl,
} from "../support.ts";

await liftLimits();
export const ada = await signUp("ada");
export const eve = await signUp("eve");
export const acme = await createOrganization(ada);
export const globex = await createOrganization(eve);

export async function get(person: Person | null, path: string): Promise<Response> {
  return await callFunction(`audit/${path}`, { token: person?.token });
}

export async function checkpoint(secret: string | null = schedulerSecret): Promise<Response> {
  return await callFunction("audit/checkpoint", { method: "POST", token: secret });
}

/** Seals remaining entries; null if the stack's timer was first. */
export async function seal(): Promise<void> {
  assert.equal((await service().rpc("seal_audit_log")).error, null);
}

export async function keys(): Promise<VerifierKey[]> {
  const published = await (await get(ada, "checkpoint")).json();
  return await Promise.all(published.keys.map(parseVerifierKey));
}

/** Writes entries as a person, seals them and signs the head. */
export async function actAndSign(person: Person, organization: string, times = 1): Promise<void> {
  for (let time = 0; time < times; time++) {
    ok(
      await person.client.rpc("log_audit_event", {
        event_type: "data.read",
        organization_id: organization,
        action: "=1+1",
        details: { rows: 1, "größe": "ä" },
      }),
    );
  }
  const answer = await checkpoint();
  assert.equal(answer.status, 200, await answer.text());
}

export async function bundleOf(person: Person, organization: string, more = ""): Promise<Response> {
  return await get(person, `export?organization_id=${organization}${more}`);
}

export async function verify(text: string, asked: Asked = {}) {
  const stream = new Blob([text]).stream();
  return await verifyBundle(stream, { keys: await keys(), reader: inline(), asked });
}

export async function withSuperuser(act: (sql: postgres.Sql) => Promise<unknown>): Promise<void> {
  const sql = postgres(superuserUrl, { max: 1, onnotice: () => {} });
  try {
    await act(sql);
  } finally {
    await sql.end();
  }
}

/** Changes the log as a superuser with the triggers off, and restores them. */
export async function tamper(
  act: (sql: postgres.TransactionSql) => Promise<unknown>,
): Promise<void> {
  await withSuperuser((sql) =>
    sql.begin(async (transaction) => {
      const triggers = await transaction<{ name: string }[]>`
        select tgname as name from pg_trigger
        where tgrelid = 'bulwark.audit_logs'::regclass and not tgisinternal
      `;
      await transaction`alter table bulwark.audit_logs disable trigger user`;
      await act(transaction);
      for (const { name } of triggers) {
        await transaction`alter table bulwark.audit_logs enable always trigger ${
          transaction(name)
        }`;
      }
    })
  );
}

/** The ids of the entries in a bundle. */
export function idsIn(bundle: string): string[] {
  return bundle.split("\n").flatMap((line) => {
    const record = line ? JSON.parse(line) : {};
    return record.type === "entry" ? [record.id] : [];
  });
}
