/** Proofs by the SQL functions, verified by an implementation that shares no code with them. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { seal, withTable } from "./tables.ts";

// An implementation of RFC 9162 and of the encoding in docs/audit-verification.md that shares no code with the
// SQL.
const hash = (...parts: Uint8Array[]): Uint8Array =>
  parts.reduce((sum, part) => sum.update(part), createHash("sha256")).digest();
const node = (left: Uint8Array, right: Uint8Array): Uint8Array =>
  hash(Buffer.from([1]), left, right);
const base64 = (text: string): Uint8Array => Buffer.from(text, "base64");

function follow(leaf: Uint8Array, index: bigint, size: bigint, path: string[]): string {
  let [first, last] = [index, size - 1n];
  let sum: Uint8Array = leaf;
  for (const step of path.map(base64)) {
    assert.notEqual(last, 0n);
    if (first % 2n === 1n || first === last) {
      sum = node(step, sum);
      while (first % 2n === 0n && first !== 0n) [first, last] = [first >> 1n, last >> 1n];
    } else {
      sum = node(sum, step);
    }
    [first, last] = [first >> 1n, last >> 1n];
  }
  assert.equal(last, 0n);
  return Buffer.from(sum).toString("base64");
}

/** The roots that a consistency proof leads to: [old root, new root], by RFC 9162 2.1.4.2. */
function consistent(from: bigint, to: bigint, fromRoot: string, path: string[]): string[] {
  const powerOfTwo = (from & (from - 1n)) === 0n;
  const [known = Buffer.alloc(0), ...steps] = (powerOfTwo ? [fromRoot, ...path] : path).map(base64);
  let [first, last] = [from - 1n, to - 1n];
  while (first % 2n === 1n) [first, last] = [first >> 1n, last >> 1n];
  let [old, now]: [Uint8Array, Uint8Array] = [known, known];
  for (const step of steps) {
    assert.notEqual(last, 0n);
    if (first % 2n === 1n || first === last) {
      [old, now] = [node(step, old), node(step, now)];
      while (first % 2n === 0n && first !== 0n) [first, last] = [first >> 1n, last >> 1n];
    } else {
      now = node(now, step);
    }
    [first, last] = [first >> 1n, last >> 1n];
  }
  assert.equal(last, 0n);
  return [old, now].map((sum) => Buffer.from(sum).toString("base64"));
}

const uuid = (text: string) => Buffer.from(text.replaceAll("-", ""), "hex");
const organizationBytes = (text: string | null) =>
  text === null ? Buffer.from([0]) : Buffer.concat([Buffer.from([1]), uuid(text)]);
const int = (value: bigint | number | string, bytes: number) => {
  const buffer = Buffer.alloc(8);
  buffer.writeBigInt64BE(BigInt(value));
  return buffer.subarray(8 - bytes);
};

Deno.test("AUD-P10: an inclusion proof leads from the entry's own bytes to the tree of seals", async () => {
  await withTable({}, async (sql, table, organizations) => {
    for (let n = 0; n < 7; n++) {
      await sql.unsafe(
        `insert into public.${table} (organization_id, n) select $1::uuid, i from generate_series(1, ${n}) i`,
        [organizations[n % 2] ?? null],
      );
      if (n % 2) await seal(sql);
    }
    await seal(sql);
    const entries = await sql`
      select id from bulwark.audit_logs where resource_type = ${`public.${table}`}
    `;
    assert.equal(entries.length, 21);
    for (const { id } of entries) {
      const [row] = await sql`select bulwark.audit_inclusion_proof(${id}) as proof`;
      const { entry, group, seal, ...proof } = row?.proof;
      const texts = [
        entry.source,
        entry.severity,
        entry.result,
        entry.event_type,
        entry.resource_type,
      ].map((text) => Buffer.from(text ?? ""));
      const leaf = hash(
        Buffer.from([0, 1]),
        uuid(entry.id),
        organizationBytes(entry.organization_id),
        int(entry.timeline, 4),
        int(entry.xid, 8),
        int(entry.occurred_at_us, 8),
        ...texts.map((text) => int(text.length, 2)),
        ...texts,
        hash(uuid(entry.salt), Buffer.from(entry.payload)),
      );
      const index = BigInt(proof.entry_index);
      assert.equal(follow(leaf, index, BigInt(group.entry_count), proof.entry_path), group.root);
      const groupHash = hash(
        Buffer.from([0, 1]),
        organizationBytes(group.organization_id),
        int(group.seal, 8),
        int(group.entry_count, 8),
        int(group.entries_before, 8),
        base64(group.previous),
        base64(group.root),
      );
      assert.equal(
        follow(groupHash, BigInt(proof.group_index), BigInt(proof.group_count), proof.group_path),
        seal.root,
      );
      const sealHash = hash(
        Buffer.from([1]),
        int(seal.number, 8),
        base64(seal.previous_hash),
        base64(seal.root),
        int(seal.timeline, 4),
        int(seal.sealed_at_us, 8),
        int(seal.snapshot.length, 4),
        Buffer.from(seal.snapshot),
        seal.through === null ? int(0, 1) : Buffer.concat([int(1, 1), base64(seal.through)]),
      );
      assert.equal(Buffer.from(sealHash).toString("base64"), seal.hash);
      assert.equal(
        follow(
          hash(Buffer.from([0]), sealHash),
          BigInt(proof.tree_index),
          BigInt(proof.tree_size),
          proof.tree_path,
        ),
        proof.tree_root,
      );
    }
  });
});

Deno.test("AUD-P11: consistency proofs hold between any two sizes of the tree", async () => {
  await withTable({}, async (sql, table) => {
    for (let n = 0; n < 20; n++) {
      await sql.unsafe(`insert into public.${table} (n) values (${n})`);
      await seal(sql);
    }
    for (let from = 1; from <= 20; from++) {
      for (let to = from; to <= 20; to++) {
        const [row] = await sql`select bulwark.audit_consistency_proof(${from}, ${to}) as proof`;
        const { from_root, to_root, path } = row?.proof;
        if (from === to) assert.deepEqual([path, from_root], [[], to_root]);
        else {
          const roots = consistent(BigInt(from), BigInt(to), from_root, path);
          assert.deepEqual(roots, [from_root, to_root]);
        }
      }
    }
  });
});
