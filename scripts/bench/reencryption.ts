/**
 * Rows re-encrypted per second after a rotation, and the memory for it: `npm run bench -- reencryption
 * [--rows 1000000]`. The peer is the same on a tenth of the rows: 1 means that the time grows linearly,
 * and that the memory does not grow.
 */
import { CachedDataKeys } from "../../supabase/functions/_bulwark/encryption/data_keys.ts";
import { KeyRing } from "../../supabase/functions/_bulwark/encryption/key_ring.ts";
import { encryptField, randomToken } from "../../supabase/functions/_bulwark/encryption/mod.ts";
import {
  reencryptBatch,
  rotateDataKey,
} from "../../supabase/functions/_bulwark/encryption/rotation.ts";
import { dataKeyStore } from "../../supabase/functions/_bulwark/encryption/store.ts";
import { sqlClient } from "../encryption/sql_client.ts";
import type { Sql } from "../stack/connection.ts";
import { Failure } from "../stack/failure.ts";
import { bench } from "./harness.ts";

export default bench({
  options: ["rows"],
  setup({ postgres, log, options }) {
    const rows = Number(options.rows ?? 20_000);
    if (!Number.isInteger(rows) || rows < 1000) throw new Failure("USAGE", "--rows: 1000 or more");
    const large = reencryption(postgres, "large", rows, log);
    const small = reencryption(postgres, "small", Math.ceil(rows / 10), log);
    const run = { ours: large.run, peers: [{ name: "a tenth of the rows", run: small.run }] };
    const peak = { ours: large.peak, peers: [{ name: "a tenth of the rows", run: small.peak }] };
    const name = `${rows.toLocaleString("en")} rows`;
    return Promise.resolve([
      { name: `re-encryption, ${name}`, unit: "rows/s", better: "higher", ...run },
      { name: `memory, ${name}`, unit: "MiB", better: "lower", ...peak },
    ]);
  },
});

/** Rotates the key of a table of encrypted rows, and re-encrypts all of them. */
function reencryption(sql: Sql, name: string, rows: number, log: (message: string) => void) {
  let table: Promise<{ keys: CachedDataKeys; organization: string }> | undefined;
  let peak = NaN;
  const client = sqlClient(sql);
  return {
    async run(): Promise<number> {
      const { keys, organization } = await (table ??= encryptedTable(sql, name, rows, log));
      await rotateDataKey(keys, organization, "field");
      const start = performance.now();
      let changed = 0;
      peak = 0;
      for (;;) {
        const batch = await reencryptBatch(client, keys, 500);
        if (!batch) break;
        changed += batch.changed;
        const { heapUsed, external } = Deno.memoryUsage();
        peak = Math.max(peak, heapUsed + external);
        if (changed % 100_000 === 0) {
          log(
            `${changed} rows, ${Math.round(changed / (performance.now() - start) * 1000)} a second`,
          );
        }
      }
      const elapsed = performance.now() - start;
      if (changed !== rows) throw new Error(`${changed} of ${rows} rows were re-encrypted`);
      // As autovacuum does in a database in use.
      await sql.unsafe(`vacuum public.${name}`);
      return rows / elapsed * 1000;
    },
    /** The most memory that the last run used, in MiB. */
    async peak(): Promise<number> {
      if (Number.isNaN(peak)) await this.run();
      return peak / 2 ** 20;
    },
  };
}

async function encryptedTable(
  sql: Sql,
  name: string,
  rows: number,
  log: (message: string) => void,
) {
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
  const ring = new KeyRing(`kek-${name}:${randomToken(32)}`);
  const keys = new CachedDataKeys(ring, dataKeyStore(sqlClient(sql)));
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
  return { keys, organization };
}
