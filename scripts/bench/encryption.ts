/**
 * Fields per second compared with raw WebCrypto and @47ng/cloak in the same process, and rows
 * re-encrypted per second: `npm run bench -- encryption [--rows 1000000]`. The peer of
 * re-encryption is the same on a tenth of the rows: 1 means that the cost grows linearly.
 */
import { decryptString, encryptString, generateKey, parseKey } from "@47ng/cloak";
import { CachedDataKeys } from "../../supabase/functions/_bulwark/encryption/data_keys.ts";
import { memoryStore } from "../../tests/encryption/unit/memory_store.ts";
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
import { sqlClient } from "../encryption/sql_client.ts";
import type { Sql } from "../stack/connection.ts";
import { Failure } from "../stack/failure.ts";
import { bench, type BenchRow, perSecond } from "./harness.ts";

const ring = (id = "bench") => new KeyRing(`${id}:${randomToken(32)}`);
const organizationId = crypto.randomUUID();
const column = { schema: "public", table: "contacts", column: "email" };

export default bench({
  options: ["rows"],
  async setup({ postgres, log, options }) {
    const rows = Number(options.rows ?? 20_000);
    if (!Number.isInteger(rows) || rows < 1000) throw new Failure("USAGE", "--rows: 1000 or more");
    const small = await table(postgres, "small", rows / 10, log);
    const large = await table(postgres, "large", rows, log);
    return [
      ...await fields("64 B", 64, 200),
      ...await fields("1 KiB", 1024, 200),
      ...await fields("64 KiB", 65_536, 20),
      {
        name: `re-encryption, ${rows.toLocaleString("en")} rows`,
        unit: "rows/s",
        better: "higher",
        ours: large,
        peers: [{ name: "a tenth of the rows", run: small }],
      },
    ];
  },
});

/** Encrypts and decrypts `count` texts of a size at once. */
async function fields(name: string, size: number, count: number): Promise<BenchRow[]> {
  const text = randomToken(size).slice(0, size);
  const keys = new CachedDataKeys(ring(), memoryStore());
  const raw = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, [
    "encrypt",
    "decrypt",
  ]);
  const cloak = await parseKey(generateKey());
  const address = (row: number) => ({ ...column, primaryKey: `${row}`, organizationId });
  const iv = () => crypto.getRandomValues(new Uint8Array(12));
  const encoder = new TextEncoder();
  const decoder = new TextDecoder();
  const all = <Result>(make: (row: number) => Promise<Result>) =>
    Promise.all(Array.from({ length: count }, (_, row) => make(row)));
  const rate = (task: (row: number) => Promise<unknown>) => async () =>
    await perSecond(() => all(task), 500) * count;

  const ours = await all((row) => encryptField(keys, address(row), text));
  const nonce = iv();
  const plain = await crypto.subtle.encrypt(
    { name: "AES-GCM", iv: nonce },
    raw,
    encoder.encode(text),
  );
  const cloaked = await encryptString(text, cloak);
  return [
    {
      name: `encrypt, ${name}`,
      unit: "fields/s",
      better: "higher",
      ours: rate((row) => encryptField(keys, address(row), text)),
      peers: [
        {
          name: "raw WebCrypto",
          run: rate(() =>
            crypto.subtle.encrypt({ name: "AES-GCM", iv: iv() }, raw, encoder.encode(text))
          ),
        },
        { name: "@47ng/cloak", run: rate(() => encryptString(text, cloak)) },
      ],
    },
    {
      name: `decrypt, ${name}`,
      unit: "fields/s",
      better: "higher",
      ours: rate((row) => decryptField(keys, address(row), ours[row]!)),
      peers: [
        {
          name: "raw WebCrypto",
          run: rate(async () =>
            decoder.decode(await crypto.subtle.decrypt({ name: "AES-GCM", iv: nonce }, raw, plain))
          ),
        },
        { name: "@47ng/cloak", run: rate(() => decryptString(cloaked, cloak)) },
      ],
    },
  ];
}

/** A table of encrypted rows of one organization; rotates its key and counts. */
async function table(
  sql: Sql,
  name: string,
  rows: number,
  log: (message: string) => void,
): Promise<() => Promise<number>> {
  log(`encrypting ${rows.toLocaleString("en")} rows`);
  await sql.unsafe(`
    create table public.${name} (id bigint primary key, organization_id uuid not null, email text);
    select bulwark.declare_encrypted_column(
      'public.${name}', 'email', organization_column => 'organization_id', blind_index => false
    );
  `);
  const administrator = crypto.randomUUID();
  await sql`insert into auth.users (id, email) values (${administrator}, ${`${name}@bench.test`})`;
  const [made] = await sql`
    select id from bulwark.create_organization('Bench', ${`bench-${name}`}, ${administrator})
  `;
  const organization: string = made!.id;
  const client = sqlClient(sql);
  const keys = new CachedDataKeys(ring(`kek-${name}`), dataKeyStore(client));
  for (let first = 0; first < rows; first += 5000) {
    const batch = await Promise.all(
      Array.from({ length: Math.min(5000, rows - first) }, async (_, row) => {
        const primaryKey = `${first + row}`;
        const address = { schema: "public", table: name, column: "email", primaryKey };
        const email = await encryptField(
          keys,
          { ...address, organizationId: organization },
          `person-${primaryKey}@example.com`,
        );
        return { id: primaryKey, organization_id: organization, email };
      }),
    );
    await sql`insert into ${sql(`public.${name}`)} ${sql(batch)}`;
  }
  await sql.unsafe(`vacuum analyze public.${name}`);
  return async () => {
    await rotateDataKey(keys, organization, "field");
    const start = performance.now();
    let changed = 0;
    for (;;) {
      const batch = await reencryptBatch(client, keys, 500);
      if (!batch) break;
      changed += batch.changed;
    }
    const elapsed = performance.now() - start;
    if (changed !== rows) throw new Error(`${changed} of ${rows} rows were re-encrypted`);
    // As autovacuum does in a database in use.
    await sql.unsafe(`vacuum public.${name}`);
    return rows / elapsed * 1000;
  };
}
