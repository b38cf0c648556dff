/** Changes of the log around its triggers, found in what the function `bulwark-audit` exports. */
import assert from "node:assert/strict";
import { compareWithKept } from "../../clients/js/src/audit/anchor.ts";
import { openCheckpoint } from "../../supabase/functions/_bulwark/audit/note.ts";
import { join, ok, service, signUp } from "../support.ts";
import {
  acme,
  actAndSign,
  ada,
  bundleOf,
  eve,
  get,
  globex,
  idsIn,
  keys,
  tamper,
  verify,
  withSuperuser,
} from "./support.ts";

Deno.test("AUD-F11: what a superuser alters, removes or adds is found offline and named", async () => {
  await actAndSign(ada, acme, 3);
  const ids = idsIn(await (await bundleOf(ada, acme)).text());
  const id = ids.at(-2)!;
  await tamper((sql) => sql`update bulwark.audit_logs set action = 'nothing' where id = ${id}`);
  const altered = await verify(await (await bundleOf(ada, acme)).text());
  assert.equal(altered.verdict.findings[0]?.code, "ENTRY_ALTERED");
  assert.ok(altered.verdict.findings[0]?.message.includes(id));
  assert.equal((await get(ada, `proof?id=${id}`)).ok, false);
  await tamper((sql) => sql`update bulwark.audit_logs set action = '=1+1' where id = ${id}`);

  await withSuperuser((sql) => sql`drop table if exists public.stolen`);
  await tamper(async (sql) => {
    await sql`create table public.stolen as select * from bulwark.audit_logs where id = ${id}`;
    await sql`delete from bulwark.audit_logs where id = ${id}`;
  });
  const removed = await verify(await (await bundleOf(ada, acme)).text());
  assert.equal(removed.verdict.findings[0]?.code, "ENTRY_MISSING");
  await tamper(async (sql) => {
    await sql`insert into bulwark.audit_logs select * from public.stolen`;
    await sql`drop table public.stolen`;
  });
  const restored = await verify(await (await bundleOf(ada, acme)).text());
  assert.deepEqual(restored.verdict.findings, []);
  const eves = await verify(await (await bundleOf(eve, globex)).text());
  assert.deepEqual(eves.verdict.findings, []);
});

Deno.test("AUD-F12: a payload that a superuser strips without a record is found", async () => {
  await actAndSign(ada, acme, 2);
  const id = idsIn(await (await bundleOf(ada, acme)).text()).at(-1)!;
  await withSuperuser((sql) => sql`drop table if exists public.stolen`);
  await tamper(async (sql) => {
    await sql`create table public.stolen as select * from bulwark.audit_logs where id = ${id}`;
    await sql`
      update bulwark.audit_logs e
      set commitment = c.payload_commitment, removed_by = gen_random_uuid(), salt = null,
          actor_type = null, actor_id = null, database_user = null, session_id = null, ip = null,
          user_agent = null, action = null, correlation_id = null, details = null
      from bulwark_private.audit_commitments c
      where e.id = ${id} and c.id = e.id
    `;
  });
  const stripped = await verify(await (await bundleOf(ada, acme)).text());
  assert.equal(stripped.verdict.findings[0]?.code, "REMOVAL_UNRECORDED");
  assert.ok(stripped.verdict.findings[0]?.message.includes(id));
  await tamper(async (sql) => {
    await sql`delete from bulwark.audit_logs where id = ${id}`;
    await sql`insert into bulwark.audit_logs select * from public.stolen`;
    await sql`drop table public.stolen`;
  });
});

Deno.test("AUD-F13: a payload removed under a record leaves a log that verifies", async () => {
  await actAndSign(ada, acme, 2);
  const person = await signUp("gone");
  await join(ada, acme, person, "viewer");
  await actAndSign(person, acme, 2);
  const [{ removed, next_after } = { removed: 0, next_after: "" }] = ok(
    await service().rpc("erase_subject", {
      user_id: person.id,
      reason: "asked to be forgotten",
      organization_id: acme,
    }),
  );
  assert.ok(removed >= 2 && next_after === null);
  await actAndSign(ada, acme);
  const text = await (await bundleOf(ada, acme)).text();
  const { verdict } = await verify(text);
  assert.deepEqual([verdict.findings, verdict.unproved], [[], []]);
  assert.equal(verdict.payloadsRemoved, removed);
  assert.ok(!text.includes(person.id));
});

Deno.test("AUD-F14: a checkpoint kept elsewhere tells a truncated log and a rewritten one", async () => {
  await actAndSign(ada, acme);
  const known = await keys();
  const kept = await openCheckpoint((await (await get(ada, "checkpoint")).json()).note, known);
  const shorter = { ...kept, size: kept.size - 1 };
  assert.equal((await compareWithKept(shorter, kept, null))?.code, "LOG_TRUNCATED");
  const rewritten = { ...kept, root: new Uint8Array(32) };
  assert.equal((await compareWithKept(rewritten, kept, null))?.code, "LOG_FORKED");
});
