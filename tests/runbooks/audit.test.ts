/** The runbooks of the audit log: its signing key, late checkpoints, a verification that failed. */
import assert from "node:assert/strict";
import postgres from "postgres";
import { receiveCheckpoints } from "./receivers.ts";
import { createOrganization, ok, service, signUp, superuserUrl } from "../support.ts";
import { restart, type Runbook, runbookTest } from "./page.ts";

const scratch = await Deno.makeTempDir({ prefix: "bulwark-investigation-" });
Deno.test.afterAll(() => Deno.remove(scratch, { recursive: true }));

const signingKeys = Deno.env.get("BULWARK_TEST_AUDIT_SIGNING_KEYS") ?? "";
/** The variables of the function that signs, as the page on lost keys leaves them. */
let keysInUse: Record<string, string> = { BULWARK_AUDIT_SIGNING_KEYS: signingKeys };
const freshKey = () => btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(32))));

/** Writes and seals an entry, so that there is something to sign. */
async function act(): Promise<void> {
  ok(await service().rpc("log_audit_event", { event_type: "data.read", action: "look" }));
  assert.equal((await service().rpc("seal_audit_log")).error, null);
}

/** Waits for a condition, for at most half a minute. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !await holds(); tries++) {
    assert.ok(tries < 120, "waited in vain");
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

async function asSuperuser(act: (sql: postgres.Sql) => Promise<unknown>): Promise<void> {
  const sql = postgres(superuserUrl, { max: 1, onnotice: () => {} });
  await act(sql).finally(() => sql.end());
}

// Only the pages ask for checkpoints here: the stack itself would sign with the key of before.
await asSuperuser((sql) => sql`delete from bulwark_private.jobs where name = 'audit-checkpoint'`);
await restart({});

/** The output of asking for a checkpoint, as the pages do. */
const asked = async (page: Runbook, section = "It is over when") =>
  JSON.parse((await page.run(section, {}, { blocks: [0] }))[0]?.output ?? "");

runbookTest(
  "RUN-06: late checkpoints are explained, signed and delivered",
  "checkpoint-late",
  async (
    page,
    sql,
  ) => {
    await act();
    assert.equal(typeof (await asked(page, "Ask by hand")).tree_size, "number");
    await act();
    // Nobody can sign any more: the functions have a key that nobody knows.
    await sql`update bulwark.settings set value = '1' where name = 'audit.checkpoint_interval_seconds'`;
    const served = await page.serveApart("bulwark-audit", {
      BULWARK_AUDIT_SIGNING_KEYS: freshKey(),
    });
    await act();
    const raised = () =>
      sql`select from bulwark.security_events
      where event_type = 'audit_checkpoint_missing' and resolved_at is null`;
    await until(async () => (await raised()).length === 1);
    const values = { ticket: "9" };
    const [status] = await page.run("Where it stops");
    assert.ok(Number(status?.rows[0]?.last_seal) > Number(status?.rows[0]?.checkpoint_size));
    assert.equal((await asked(page, "Ask by hand")).code, "AUDIT_LOG_FORKED");

    // Then it signs, and the sink is away.
    const sink = receiveCheckpoints();
    await served.restart({
      BULWARK_AUDIT_SIGNING_KEYS: signingKeys,
      BULWARK_AUDIT_SINK: sink.url,
    });
    sink.away = true;
    await act();
    await page.run("Ask by hand", {}, { blocks: [0] });
    const [, failures] = await page.run("Ask by hand");
    assert.match(failures?.rows[0]?.delivery_error, /503/);
    const [late] = await page.run("It is over when", values, { blocks: [0] });
    assert.notEqual(late?.rows[0]?.undelivered, "0", "it is not over");

    // Objects of the shape of pg_cron's and pg_net's: neither can run here.
    await asSuperuser((admin) =>
      admin.unsafe(`
      create schema cron;
      create table cron.job (jobid bigint, jobname text, active boolean);
      create table cron.job_run_details (
        runid bigint, jobid bigint, status text, return_message text, start_time timestamptz
      );
      create schema net;
      create table net._http_response (
        id bigint, status_code integer, timed_out boolean, error_msg text, created timestamptz
      );
      grant usage on schema cron, net to postgres;
      grant select on all tables in schema cron, net to postgres;
      insert into net._http_response values (1, 401, false, null, now());
    `)
    );
    const [answers] = await page.run("The jobs");
    assert.deepEqual(answers?.rows.map(({ status_code }) => status_code), [401]);
    await asSuperuser((admin) => admin.unsafe("drop schema cron, net cascade"));

    sink.away = false;
    await page.run("Ask by hand", {}, { blocks: [0] });
    const [over] = await page.run("It is over when", values);
    assert.deepEqual(over?.rows, [{ is_signed: true, undelivered: "0" }]);
    assert.ok(sink.notes.length > 0);
    assert.equal((await raised()).length, 0);
    await sink.stop();
  },
);

runbookTest(
  "RUN-07: a lost signing key is replaced by one that the owner accepts",
  "lost-signing-key",
  async (
    page,
    sql,
  ) => {
    const served = await page.serveApart("bulwark-audit", {
      BULWARK_AUDIT_SIGNING_KEYS: signingKeys,
    });
    await act();
    await asked(page);
    const before =
      await sql`select tree_size, note from bulwark.audit_checkpoints order by tree_size`;
    const [key] = await page.run("Note the old public key");
    const values = { "old public key": key?.rows[0]?.public_key ?? "" };
    await page.run("Set a new key", values);
    await act();
    const [refused] = await page.run("Accept it", values, { blocks: [0] });
    const id = /key ([0-9a-f]{8})/.exec(refused?.output ?? "")?.[1] ?? "";
    assert.notEqual(id, "", "the refusal names the key");
    await page.run("Accept it", { "key id": id }, { blocks: [1] });
    const [signed, recent] = await page.run("It is over when");
    assert.equal(JSON.parse(signed?.output ?? "").undelivered >= 0, true);
    assert.equal(recent?.rows[0]?.is_recent, true);
    const newest = await sql`
    select key_id from bulwark.audit_checkpoints order by tree_size desc limit 1`;
    assert.equal(newest[0]?.key_id, id, "the new key signs");
    const kept = await sql`
    select tree_size, note from bulwark.audit_checkpoints
    where tree_size <= ${before.at(-1)?.tree_size} order by tree_size`;
    assert.deepEqual([...kept], [...before], "the old checkpoints stay");
    const [verified] = await sql`select intact, complete from bulwark.verify_audit_log()`;
    assert.deepEqual(verified, { intact: true, complete: true });
    keysInUse = { ...served.env };
  },
);

runbookTest(
  "RUN-08: an altered log is frozen, copied, explained, and goes on being signed",
  "failed-verification",
  async (
    page,
    sql,
  ) => {
    await page.serveApart("bulwark-audit", keysInUse);
    const owner = await signUp("owner");
    const organization = await createOrganization(owner);
    await act();
    // An intruder with the superuser's rights alters an entry.
    const [target] = await sql`
    select e.id from bulwark.audit_logs e
    where e.organization_id = ${organization} and e.event_type = 'authz.role_assigned'`;
    const entry = target?.id as string;
    await until(async () => {
      const [sealed] = await sql`select bulwark_private.audit_entry_is_sealed(${entry}) as sealed`;
      return sealed?.sealed === true;
    });
    await page.run("7. If nothing is signed any more", {}, { blocks: [2] });
    await asSuperuser((admin) =>
      admin.begin(async (sql) => {
        await sql`set local session_replication_role = replica`;
        await sql`alter table bulwark.audit_logs disable trigger user`;
        await sql`update bulwark.audit_logs set action = 'nothing' where id = ${entry}`;
        const triggers = await sql`
        select tgname from pg_trigger
        where tgrelid = 'bulwark.audit_logs'::regclass and not tgisinternal`;
        for (const { tgname } of triggers) {
          await sql`alter table bulwark.audit_logs enable always trigger ${sql(tgname)}`;
        }
      })
    );
    await sql`select bulwark.check_audit_log()`;
    const evidence = `${scratch}/evidence`;
    const values: Record<string, string> = {
      ticket: "10",
      "evidence folder": evidence,
      "organization id": organization,
      "entry id": entry,
      "last seal seen": "0",
      "retention days of before": "90",
    };
    const [events] = await page.run("Symptoms");
    assert.ok(events?.rows.some((event) => event.entry === entry), "the event names the entry");
    await page.run("1. Stop what removes", values);
    const erased = await service().rpc("erase_subject", { user_id: owner.id, reason: "asked for" });
    assert.ok(erased.error || !JSON.stringify(erased.data).includes(entry), "nothing is removed");
    await page.run("2. Copy what is there", values);
    assert.match(await Deno.readTextFile(`${evidence}/SHA256SUMS`), /audit_seals\.copy/);

    const [key] = await sql`
    select format('%s+%s+%s', name, key_id, encode('\\x01'::bytea || public_key, 'base64')) as key
    from bulwark.audit_keys order by registered_at desc limit 1`;
    values["your copy of the public key"] = key?.key;
    const [verdict] = await page.run("3. What exactly is wrong", values, { blocks: [0] });
    assert.equal(verdict?.rows[0]?.problem, "entry_altered");
    assert.equal(verdict?.rows[0]?.entry, entry);
    const seal = String(verdict?.rows[0]?.seal);
    const [offline] = await page.run("3. What exactly is wrong", values, {
      blocks: [1],
      exitCode: 1,
    });
    assert.match(offline?.output ?? "", /ENTRY_ALTERED/);
    assert.match(offline?.output ?? "", new RegExp(entry));
    const [alarms] = await page.run("4. When, and by whom");
    assert.ok(alarms?.rows.some(({ action }) => action === "watched_object_changed"));
    const [now] = await page.run("5. What was there", values);
    assert.equal(now?.rows[0]?.action, "nothing");
    values["seals concerned"] = seal;
    values["last seal concerned"] = seal;
    await page.run("6. Close the way in", values);

    // The intruder comes back and cuts off what was signed last; the log is sealed anew from there.
    await asSuperuser((admin) =>
      admin.begin(async (sql) => {
        await sql`set local session_replication_role = replica`;
        const tables = ["audit_groups", "audit_seals"];
        for (const table of tables) {
          await sql`alter table bulwark_private.${sql(table)} disable trigger user`;
        }
        const [last] = await sql`select max(tree_size) as signed from bulwark.audit_checkpoints`;
        await sql`delete from bulwark_private.audit_groups where seal >= ${last?.signed}`;
        await sql`delete from bulwark_private.audit_seals where number >= ${last?.signed}`;
        for (const table of tables) {
          const triggers = await sql`
            select tgname from pg_trigger
            where tgrelid = ${`bulwark_private.${table}`}::regclass and not tgisinternal`;
          for (const { tgname } of triggers) {
            await sql`
              alter table bulwark_private.${sql(table)} enable always trigger ${sql(tgname)}`;
          }
        }
      })
    );
    await act();
    await page.run("7. If nothing is signed any more", {}, { blocks: [2], exitCode: 22 });
    const [size] = await page.run("7. If nothing is signed any more", {}, { blocks: [0] });
    values["tree size"] = String(size?.rows[0]?.tree_size);
    values["last seal concerned"] = values["tree size"];
    await page.run("7. If nothing is signed any more", values, { blocks: [1] });
    await act();
    const [signed] = await page.run("7. If nothing is signed any more", values, { blocks: [2] });
    const report = JSON.parse(signed?.output ?? "");
    assert.ok(report.tree_size > Number(values["tree size"]));
    const [newest] = await sql`select max(tree_size) as size from bulwark.audit_checkpoints`;
    assert.ok(Number(newest?.size) > Number(values["tree size"]), "it is signed again");

    const [later] = await page.run("It is over when", values);
    assert.deepEqual(later?.rows, [{ intact: true, complete: true }]);
    const holds = await sql`
    select from bulwark.audit_legal_holds where released_at is null and reason like 'Ticket 10:%'`;
    assert.equal(holds.length, 0);
  },
);
