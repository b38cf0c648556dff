/** Query parameters of the function `bulwark-audit`. */
import { z } from "zod";
import { exportLimit } from "./export.ts";
import { id } from "../foundation/input.ts";
import { exportFormat } from "./formats.ts";

const size = z.coerce.number().int().min(0).max(2 ** 48);

/** `GET /bulwark-audit/proof` */
export const proofQuery = z.strictObject({ id });

/** `GET /bulwark-audit/proof/consistency` */
export const consistencyQuery = z.strictObject({ from: size, to: size });

/** `GET /bulwark-audit/export`; the database validates the cursor. */
export const exportQuery = z.strictObject({
  format: z.string().default("ndjson").transform(exportFormat),
  organization_id: id.nullable().default(null),
  cursor: z.string().max(64).nullable().default(null),
  limit: z.coerce.number().int().min(1).max(exportLimit).default(exportLimit),
});
