/** The operations of the function `bulwark-encryption`: fields of declared columns. */
import { z } from "zod";
import { code, id, text } from "../foundation/input.ts";
import { operation } from "../foundation/operation.ts";

const name = text.min(1).max(63);
/** `name` in schema public, or `schema.name`. */
const table = text.min(1).max(127);
const key = text.min(1).max(100);
/** Normalized to lower case, since values are bound to one spelling. */
const organization_id = id.nullable().default(null);
const purpose = z.enum(["field", "index"]);
/** Limits of one request. */
const most = 100;

const all = [
  "ENCRYPTION_FAILED",
  "ENCRYPTION_KEY_DESTROYED",
  "ENCRYPTION_KEY_LOST",
  "ENCRYPTION_KEY_UNAVAILABLE",
  "ENCRYPTION_NOT_CONFIGURED",
] as const;
const fields = [
  ...all,
  "ENCRYPTION_INVALID_ARGUMENT",
  "ENCRYPTION_TABLE_NOT_EXPOSED",
  "ENCRYPTION_UNKNOWN_COLUMN",
  "MFA_REQUIRED",
  "RBAC_PERMISSION_DENIED",
] as const;
const forUsers = { method: "POST", auth: ["user"], rule: "api_relaxed", errors: fields } as const;

const row = () => ({
  primary_key: z.string(),
  fields: z.record(z.string(), z.string().nullable()),
});
const rotated = () => z.object({ organization_id: id.nullable(), purpose, version: z.int() });

export const operations = {
  encrypt: operation({
    ...forUsers,
    path: "/bulwark-encryption/encrypt",
    summary: "Encrypts fields for rows that the caller writes",
    input: z.strictObject({
      table,
      organization_id,
      rows: z.array(z.strictObject({
        primary_key: key,
        fields: z.record(name, z.string().nullable()),
      })).min(1).max(most),
    }),
    output: () => z.object({ rows: z.array(z.object(row())) }),
  }),
  decrypt: operation({
    ...forUsers,
    path: "/bulwark-encryption/decrypt",
    summary: "Decrypts fields of rows that the caller can read",
    input: z.strictObject({
      table,
      columns: z.array(name).min(1).max(20),
      primary_keys: z.array(key).min(1).max(most),
    }),
    output: () =>
      z.object({
        rows: z.array(z.union([
          z.object(row()),
          z.object({
            primary_key: z.string(),
            error: z.object({ code: code(), message: z.string() }),
          }),
        ])),
      }),
  }),
  find: operation({
    ...forUsers,
    path: "/bulwark-encryption/find",
    summary: "Finds the rows that have a text in an indexed column",
    input: z.strictObject({
      table,
      organization_id,
      column: name,
      value: z.string(),
      cursor: text.regex(/^[\w-]{22}\.[\s\S]{1,100}$/).nullable().default(null)
        .describe("`next` of the previous answer."),
    }),
    output: () => z.object({ primary_keys: z.array(z.string()), next: z.string().nullable() }),
  }),
  rotate: operation({
    ...forUsers,
    path: "/bulwark-encryption/rotate",
    summary: "Makes a new data key; values under the old one are encrypted again in the background",
    rule: "api_strict",
    input: z.strictObject({ organization_id, purpose: purpose.default("field") }),
    output: rotated,
    errors: [
      ...all,
      "ENCRYPTION_INVALID_ARGUMENT",
      "MFA_REQUIRED",
      "RBAC_PERMISSION_DENIED",
      "RBAC_UNKNOWN_ORGANIZATION",
    ],
  }),
  work: operation({
    method: "POST",
    path: "/bulwark-encryption/work",
    summary: "Encrypts again what is under old keys, and rotates on request",
    auth: ["scheduler"],
    rule: "api_default",
    input: z.strictObject({
      rotate: z.array(id.nullable()).max(most).default([])
        .describe("Organizations whose data keys get a new version; null: the system."),
      purpose: purpose.default("field"),
      key_encryption_key: z.string().regex(/^[a-z0-9_-]{1,32}$/).nullable().default(null)
        .describe("The key-encryption key to wrap all data keys under."),
      retry: z.boolean().default(false),
      milliseconds: z.int().min(0).max(10_000).default(1000)
        .describe("How long to encrypt again."),
      batch_size: z.int().min(1).max(1000).default(250),
    }),
    output: () =>
      z.object({
        rotated: z.array(rotated()),
        rewrapped: z.int(),
        left_to_rewrap: z.boolean()
          .describe("Whether data keys are still wrapped by another key-encryption key."),
        reencrypted: z.int(),
        failed: z.int(),
        more: z.boolean().describe("Whether there is more work right now."),
        progress: z.object({
          total: z.int(),
          done: z.int(),
          running: z.int(),
          settling: z.int(),
          incomplete: z.int(),
        }),
      }),
    errors: [
      ...all,
      "ENCRYPTION_INVALID_ARGUMENT",
      "ENCRYPTION_UNKNOWN_KEY",
      "RBAC_UNKNOWN_ORGANIZATION",
    ],
  }),
};

export type EncryptInput = z.output<typeof operations.encrypt.input>;
export type DecryptInput = z.output<typeof operations.decrypt.input>;
export type FindInput = z.output<typeof operations.find.input>;
export type RotateInput = z.output<typeof operations.rotate.input>;
export type WorkInput = z.output<typeof operations.work.input>;
