/** The operations of the function `bulwark-audit`. */
import { z } from "zod";
import { id, text } from "../foundation/input.ts";
import { operation } from "../foundation/operation.ts";
import { exportLimit } from "./export.ts";
import { exportFormats } from "./formats.ts";
import { consistencyProof, inclusionProof } from "./proof_schema.ts";

const moment = () => z.iso.datetime({ offset: true });
const size = z.coerce.number().int().min(0).max(2 ** 48);
/** A month such as 2026-01, as its first day. */
const month = z.string().regex(/^\d{4}-(0[1-9]|1[0-2])$/).transform((text) => `${text}-01`);

const user = { method: "GET", auth: ["user"], rule: "api_default" } as const;
const scheduled = { method: "POST", auth: ["scheduler"], rule: "api_default" } as const;
const archiving = [
  "AUDIT_ARCHIVE_ALTERED",
  "AUDIT_ARCHIVE_MISSING",
  "AUDIT_ARCHIVE_NOT_CONFIGURED",
  "AUDIT_ARCHIVE_NOT_INTACT",
  "AUDIT_ARCHIVE_NOT_STORED",
  "AUDIT_ARCHIVE_UNREACHABLE",
  "AUDIT_NOT_CONFIGURED",
] as const;

export const operations = {
  readCheckpoint: operation({
    ...user,
    path: "/bulwark-audit/checkpoint",
    summary: "Returns the newest signed checkpoint and the public keys of the log",
    output: () =>
      z.object({
        tree_size: z.int().nullable(),
        signed_at: moment().nullable(),
        delivered_at: moment().nullable(),
        note: z.string().nullable(),
        keys: z.array(z.string())
          .describe("Newest first. Compare them with a copy kept outside of the database."),
      }),
    errors: [],
  }),
  proof: operation({
    ...user,
    path: "/bulwark-audit/proof",
    summary: "Proves that an entry is in the log",
    input: z.strictObject({ id }),
    output: inclusionProof,
    errors: [
      "AUDIT_ENTRY_ALTERED",
      "AUDIT_ENTRY_ARCHIVED",
      "AUDIT_NOT_SEALED_YET",
      "AUDIT_UNKNOWN_ENTRY",
    ],
  }),
  consistency: operation({
    ...user,
    path: "/bulwark-audit/proof/consistency",
    summary: "Proves that a later log extends an earlier one",
    input: z.strictObject({ from: size, to: size }),
    output: consistencyProof,
    errors: ["AUDIT_INVALID_RANGE"],
  }),
  export: operation({
    method: "GET",
    path: "/bulwark-audit/export",
    summary: "Exports a log page by page; the header x-next-cursor names the next cursor",
    auth: ["user", "secret_key"],
    rule: "export",
    input: z.strictObject({
      format: z.enum(exportFormats).default("ndjson"),
      organization_id: id.nullable().default(null),
      // The database validates it.
      cursor: z.string().max(64).nullable().default(null),
      limit: z.coerce.number().int().min(1).max(exportLimit).default(exportLimit),
      purpose: text.min(1).max(100).nullable().default(null)
        .describe("Recorded with the export, as it is given"),
    }),
    media: ["application/x-ndjson", "application/json", "text/csv"],
    errors: [
      "AUDIT_INVALID_CURSOR",
      "AUDIT_INVALID_LIMIT",
      "AUDIT_INVALID_RANGE",
      "AUDIT_INVALID_TEXT",
      "MFA_REQUIRED",
      "MFA_VERIFICATION_REQUIRED",
      "RBAC_PERMISSION_DENIED",
    ],
  }),
  makeCheckpoint: operation({
    ...scheduled,
    path: "/bulwark-audit/checkpoint",
    summary: "Signs the head of the log and delivers checkpoints to the sink",
    output: () =>
      z.object({
        tree_size: z.int(),
        signed: z.boolean(),
        delivered: z.int(),
        undelivered: z.int(),
      }),
    errors: [
      "AUDIT_CHECKPOINT_MISMATCH",
      "AUDIT_KEY_NOT_ENDORSED",
      "AUDIT_LOG_FORKED",
      "AUDIT_NOT_CONFIGURED",
      "AUDIT_NOT_THE_KEY_HOLDER",
      "AUDIT_SINK_UNREACHABLE",
    ],
  }),
  archive: operation({
    ...scheduled,
    path: "/bulwark-audit/archive",
    summary: "Archives the months through one, or those that are due by the setting",
    input: z.strictObject({ through: month.nullable().default(null) }),
    output: () =>
      z.object({
        archived: z.array(z.object({ month: z.string(), entries: z.int() })),
        files: z.int(),
        entries: z.int(),
        waiting: z.object({ month: z.string(), for: z.string() }).nullable()
          .describe("The month under way, and why it does not go on."),
        more: z.boolean().describe("Whether there is more to do now."),
      }),
    errors: archiving,
  }),
  restore: operation({
    ...scheduled,
    path: "/bulwark-audit/archive/restore",
    summary: "Loads entries of an archived month for an investigation",
    input: z.strictObject({
      month,
      reason: text.min(1).max(500),
      of: z.union([z.literal("everybody"), z.strictObject({ organization_id: id.nullable() })])
        .describe("An organization, null for the entries without one, or everybody."),
      from: z.int().min(0).default(0),
    }),
    output: () =>
      z.object({
        files: z.int(),
        entries: z.int(),
        next: z.int().nullable().describe("Continues as `from`; null: all were restored."),
      }),
    errors: [
      ...archiving,
      "AUDIT_ARCHIVE_PRUNED",
      "AUDIT_INVALID_RESTORE",
      "AUDIT_UNKNOWN_ARCHIVE",
    ],
  }),
};

export type ArchiveInput = z.output<typeof operations.archive.input>;
export type RestoreInput = z.output<typeof operations.restore.input>;
