import { z } from "zod";
import { id, text } from "../foundation/input.ts";

const name = text.min(1).max(63);
/** `name` in schema public, or `schema.name`. */
const table = text.min(1).max(127);
const key = text.min(1).max(100);
/** Normalized to lower case, since values are bound to one spelling. */
const organization = id.nullable().default(null);
/** Limits of one request. */
const most = 100;

export const encryptInput = z.strictObject({
  table,
  organization_id: organization,
  rows: z.array(z.strictObject({
    primary_key: key,
    fields: z.record(name, z.string().nullable()),
  })).min(1).max(most),
});
export const decryptInput = z.strictObject({
  table,
  columns: z.array(name).min(1).max(20),
  primary_keys: z.array(key).min(1).max(most),
});
export const findInput = z.strictObject({
  table,
  organization_id: organization,
  column: name,
  value: z.string(),
  /** `next` of the previous answer. */
  cursor: text.regex(/^[\w-]{22}\.[^]{1,100}$/).nullable().default(null),
});
export const rotateInput = z.strictObject({
  organization_id: organization,
  purpose: z.enum(["field", "index"]).default("field"),
});
export const workInput = z.strictObject({
  /** Organizations whose data keys get a new version; null: the system. */
  rotate: z.array(id.nullable()).max(most).default([]),
  purpose: z.enum(["field", "index"]).default("field"),
  /** The key-encryption key to wrap all data keys under. */
  key_encryption_key: z.string().regex(/^[a-z0-9_-]{1,32}$/).nullable().default(null),
  retry: z.boolean().default(false),
  /** How long to re-encrypt, in milliseconds. */
  milliseconds: z.int().min(0).max(10_000).default(1000),
  batch_size: z.int().min(1).max(1000).default(250),
});

export type EncryptInput = z.output<typeof encryptInput>;
export type DecryptInput = z.output<typeof decryptInput>;
export type FindInput = z.output<typeof findInput>;
export type RotateInput = z.output<typeof rotateInput>;
export type WorkInput = z.output<typeof workInput>;
