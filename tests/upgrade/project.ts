/** A project with every kind of data, and what must hold for it after an upgrade as before. */
import assert from "node:assert/strict";
import { CachedDataKeys } from "../../supabase/functions/_bulwark/encryption/data_keys.ts";
import { KeyRing } from "../../supabase/functions/_bulwark/encryption/key_ring.ts";
import {
  decryptField,
  encryptField,
  randomToken,
} from "../../supabase/functions/_bulwark/encryption/mod.ts";
import {
  reencryptBatch,
  rotateDataKey,
} from "../../supabase/functions/_bulwark/encryption/rotation.ts";
import { dataKeyStore } from "../../supabase/functions/_bulwark/encryption/store.ts";
import { readSigningKeys, writerSecret } from "../../supabase/functions/_bulwark/audit/keys.ts";
import {
  formatCheckpoint,
  openCheckpoint,
  type Signer,
  signNote,
} from "../../supabase/functions/_bulwark/audit/note.ts";
import { toBase64 } from "../../supabase/functions/_bulwark/foundation/bytes.ts";
import { fromBase64 } from "../../supabase/functions/_bulwark/audit/encoding.ts";
import { sqlClient } from "../../scripts/encryption/sql_client.ts";
import type { Sql } from "../../scripts/stack/connection.ts";
import { contents, fillProject } from "../restores/backups.ts";
import { intact, verify } from "../restores/support.ts";

/** The secrets of a project, which are outside of its database. */
export interface Project {
  organization: string;
  administrator: { id: string; session: string };
  apiKey: string;
  backupCodes: string[];
  kek: string;
  signer: Signer;
}

/** Runs statements as a person, in one transaction. */
async function asPerson<T>(
  sql: Sql,
  { id, session }: Project["administrator"],
  task: (own: Sql) => Promise<T>,
): Promise<T> {
  return await sql.begin(async (own) => {
    const claims = { sub: id, role: "authenticated", session_id: session };
    await own`select set_config('request.jwt.claims', ${JSON.stringify(claims)}, true),
      set_config('role', 'authenticated', true)`;
    return await task(own as unknown as Sql);
  }) as T;
}

const backupHash = (code: string) => code.repeat(64);

/** Fills a project: a host's guarded table, and rows in every capability. */
export async function fill(sql: Sql): Promise<Project> {
  await sql.unsafe(`
    create table public.contacts (
      id integer primary key, organization_id uuid not null, email text, dropped text
    );
    alter table public.contacts drop column dropped;
    alter table public.contacts enable row level security;
    grant select, insert, update, delete on public.contacts to authenticated;
    select bulwark.enable_audit('public.contacts', organization_column => 'organization_id');
    select bulwark.declare_encrypted_column(
      'public.contacts', 'email', organization_column => 'organization_id', blind_index => true
    );
    select bulwark.require_mfa('public.contacts');
    create table public.notes (id integer primary key, organization_id uuid not null);
    alter table public.notes enable row level security;
    grant select on public.notes to authenticated;
    select bulwark.enable_audit('public.notes', 'organization_id', bulk => true);
    select bulwark.admit_api_keys('public.notes', read_permission => 'analytics:read');
  `);
  await fillProject(sql);
  const [found] = await sql`
    select o.id as organization, g.user_id as id, s.id as session
    from bulwark.organizations o
    join bulwark.user_roles g on g.organization_id = o.id
    join auth.sessions s on s.user_id = g.user_id
    where o.slug = 'acme'
  `;
  assert.ok(found);
  const { organization, ...administrator } = found as Project["administrator"] & {
    organization: string;
  };

  // Roles, invitations, MFA, API keys.
  const backupCodes = ["a", "b"];
  await sql`
    insert into bulwark.mfa_secrets (
      id, user_id, name, secret, begun_in, begun_as_first, activated_at
    )
    select gen_random_uuid(), ${administrator.id}, 'phone',
      'bw1.a256gcm.' || repeat('A', 22) || '.' || repeat('B', 120), gen_random_uuid(), true, now()
  `;
  await sql`
    insert into bulwark_private.mfa_sessions (session_id, user_id, verified_at, method)
    values (${administrator.session}, ${administrator.id}, now(), 'totp')
  `;
  for (const code of backupCodes) {
    await sql`
      insert into bulwark_private.mfa_backup_codes (user_id, code_hash)
      values (${administrator.id}, decode(${backupHash(code)}, 'hex'))
    `;
  }
  const apiKey = await asPerson(sql, administrator, async (own) => {
    await own`select bulwark.create_role(${organization}, 'helper', '{analytics:read}', '{viewer}')`;
    await own`select bulwark.invite_member(${organization}, 'new@people.test', 'helper')`;
    await own`select bulwark.trust_device('laptop')`;
    const [made] = await own`
      select api_key from bulwark.create_api_key(${organization}, 'program', '{analytics:read}')
    `;
    return made!.api_key as string;
  });

  // Limits, metrics, alerts.
  const sample = {
    ...{ metric: "t_count", kind: "counter", unit: "", description: "a test", labels: {} },
    ...{ at: Date.now() / 1000, count: 1, total: 5, minimum: 5, maximum: 5, last: 5 },
    ...{ zeros: 0, indexes: [], counts: [] },
  };
  await sql`select bulwark.set_rate_limit('api_relaxed', 5, 60, ${organization})`;
  await sql`select bulwark.record_metrics(gen_random_uuid(), ${sql.json([sample] as never)})`;
  await sql`select bulwark.evaluate_alerts()`;

  // Encrypted fields, one of them under a key that was superseded.
  const kek = `first:${randomToken(32)}`;
  const client = sqlClient(sql);
  const keys = new CachedDataKeys(new KeyRing(kek), dataKeyStore(client));
  for (const id of [1, 2]) {
    const email = await encryptField(keys, addressOf(organization, id), `person-${id}@example.com`);
    await sql`
      insert into public.contacts (id, organization_id, email) values (${id}, ${organization}, ${email})
    `;
    if (id === 1) await rotateDataKey(keys, organization, "field");
  }
  await reencryptBatch(client, keys, 1);
  await sql`insert into public.notes values (1, ${organization})`;

  // A checkpoint, and entries after it.
  await sql`select bulwark.seal_audit_log()`;
  const [signer] = await readSigningKeys(
    toBase64(crypto.getRandomValues(new Uint8Array(32))),
    "log.test",
  );
  assert.ok(signer);
  const [head] =
    await sql`select tree_size::integer as size, root_hash from bulwark.audit_tree_head()`;
  const root = fromBase64(head!.root_hash, "root", 32);
  const note = await signNote(
    formatCheckpoint({ origin: signer.name, size: head!.size, root }),
    [signer],
  );
  const writer = {
    name: signer.name,
    public_key: toBase64(signer.publicKey),
    writer: await writerSecret(signer),
  };
  await sql`
    select bulwark.store_audit_checkpoint(${head!.size}, ${head!.root_hash}, ${note}, ${
    sql.json([writer])
  })
  `;
  await sql`insert into bulwark.permissions values ('test:unsealed_later', 'x')`;
  return { organization, administrator, apiKey, backupCodes, kek, signer };
}

function addressOf(organizationId: string, id: number) {
  return {
    schema: "public",
    table: "contacts",
    column: "email",
    primaryKey: `${id}`,
    organizationId,
  };
}

/** The columns of each table of Bulwark, as a list for a query. */
export async function columnsOf(sql: Sql): Promise<Record<string, string>> {
  const tables = await sql`
    select a.attrelid::regclass::text as name,
      string_agg(quote_ident(a.attname), ', ' order by a.attnum) as columns
    from pg_attribute a
    join pg_class c on c.oid = a.attrelid
    where c.relnamespace in ('bulwark'::regnamespace, 'bulwark_private'::regnamespace)
      and c.relkind = 'r' and a.attnum > 0 and not a.attisdropped
    group by 1
  `;
  return Object.fromEntries(tables.map(({ name, columns }) => [name, columns]));
}

/**
 * A digest of these columns of each table, without the tables that an upgrade writes: the log, its
 * seals, the oid that its timelines know it by, what it watches, versions, privileges and jobs.
 */
export async function lastingContents(
  sql: Sql,
  columns: Record<string, string>,
): Promise<Record<string, string>> {
  const all = await contents(sql, columns);
  const written =
    /audit_(logs|seals|groups|tree|nodes|timelines|watched|check|settl)|capabilities|known_privileges|webhook_upgrades|\.(setting(s|_rules)|jobs|audit_event_types)$/;
  return Object.fromEntries(Object.entries(all).filter(([name]) => !written.test(name)));
}

/** The entries up to one: all columns, in the order of their ids. */
export async function entries(sql: Sql, last?: string): Promise<[last: string, digest: string]> {
  const [row] = await sql`
    select (array_agg(l.id order by l.id desc))[1] as last, md5(string_agg(l::text, '' order by l.id)) as digest
    from bulwark.audit_logs l where l.id <= ${last ?? "ffffffff-ffff-ffff-ffff-ffffffffffff"}
  `;
  return [row!.last, row!.digest];
}

/** Everything that a project was promised before the upgrade. */
export async function assertHolds(sql: Sql, project: Project): Promise<void> {
  assert.deepEqual(await verify(sql), intact, "every proof holds");
  const checkpoints = await sql`select note from bulwark.audit_checkpoints`;
  assert.equal(checkpoints.length, 1);
  for (const { note } of checkpoints) await openCheckpoint(note, [project.signer]);

  const keys = new CachedDataKeys(new KeyRing(project.kek), dataKeyStore(sqlClient(sql)));
  for (const { id, email } of await sql`select id, email from public.contacts order by id`) {
    const text = await decryptField(keys, addressOf(project.organization, id), email);
    assert.equal(text, `person-${id}@example.com`);
  }
  const [exchanged] = await sql`
    select api_key_id is not null as known, allowed
    from bulwark.exchange_api_key(encode(sha256(convert_to(${project.apiKey}, 'UTF8')), 'hex'))
  `;
  assert.deepEqual({ ...exchanged }, { known: true, allowed: true }, "the API key is accepted");
  const [unknown] = await sql`
    select api_key_id is not null as known
    from bulwark.exchange_api_key(encode(sha256('another'), 'hex'))
  `;
  assert.equal(unknown?.known ?? false, false, "another is not");

  const attempt = await asPerson(sql, project.administrator, async (own) => {
    const [row] = await own`select bulwark.begin_mfa_attempt('backup_code') as id`;
    return row!.id as string;
  });
  const code = project.backupCodes.pop()!;
  const [answer] = await sql`
    select bulwark.complete_mfa_backup_code(${attempt}, ${backupHash(code)}) as answer
  `;
  assert.equal(answer!.answer.accepted, true, "a backup code is accepted");
  const permissions = await asPerson(sql, project.administrator, async (own) => {
    const [row] = await own`
      select bulwark.has_permission('analytics:write', ${project.organization}) as write,
        (select count(*)::integer from public.contacts) as contacts
    `;
    return { ...row };
  });
  assert.equal(permissions.write, true);
}

/** The alarms that the log has raised about itself. */
export async function alarms(sql: Sql): Promise<string[]> {
  const rows = await sql`
    select concat_ws(' ', action, resource_type, details) as alarm from bulwark.audit_logs
    where severity = 'critical' and event_type in ('security.suspicious_activity', 'system.error')
      or action = 'stamp_replaced'
  `;
  return rows.map(({ alarm }) => alarm);
}
