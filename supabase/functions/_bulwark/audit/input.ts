/** Query parameters of the function `bulwark-audit`. */
import { z } from "zod";
import { exportLimit } from "./export.ts";
import { id, text } from "../foundation/input.ts";
import { exportFormat } from "./formats.ts";

const size = z.coerce.number().int().min(0).max(2 ** 48);

/** `GET /bulwark-audit/proof` */
export const proofQuery = z.strictObject({ id });

/** `GET /bulwark-audit/proof/consistency` */
export const consistencyQuery = z.strictObject({ from: size, to: size });

/** A month such as 2026-01, as its first day. */
const month = z.string().regex(/^\d{4}-(0[1-9]|1[0-2])$/).transform((text) => `${text}-01`);

/** `POST /bulwark-audit/archive` */
export const archiveBody = z.strictObject({ through: month.nullable().default(null) });

/** `POST /bulwark-audit/archive/restore` */
export const restoreBody = z.strictObject({
  month,
  reason: text.min(1).max(500),
  /** An organization, null for the entries without one, or everybody. */
  of: z.union([z.literal("everybody"), z.strictObject({ organization_id: id.nullable() })]),
  from: z.int().min(0).default(0),
});

/** `GET /bulwark-audit/export`; the database validates the cursor. */
export const exportQuery = z.strictObject({
  format: z.string().default("ndjson").transform(exportFormat),
  organization_id: id.nullable().default(null),
  cursor: z.string().max(64).nullable().default(null),
  limit: z.coerce.number().int().min(1).max(exportLimit).default(exportLimit),
});
