/** The operation of the function `bulwark-compliance`. */
import { z } from "zod";
import { id } from "../foundation/input.ts";
import { operation } from "../foundation/operation.ts";

const moment = z.iso.datetime({ offset: true });

export const operations = {
  report: operation({
    method: "GET",
    path: "/bulwark-compliance/report",
    summary: "Makes a compliance report, and a statement that the keys of the audit log signed",
    auth: ["user", "secret_key"],
    rule: "export",
    input: z.strictObject({
      organization_id: id,
      since: moment.optional(),
      until: moment.optional(),
    }),
    media: ["application/x-ndjson"],
    errors: [
      "COMPLIANCE_INVALID_RANGE",
      "MFA_REQUIRED",
      "MFA_VERIFICATION_REQUIRED",
      "RBAC_PERMISSION_DENIED",
      "RBAC_UNKNOWN_ORGANIZATION",
    ],
  }),
};
