/** Query parameters of the function `bulwark-compliance`. */
import { z } from "zod";
import { id } from "../foundation/input.ts";

const moment = z.iso.datetime({ offset: true });

/** `GET /bulwark-compliance/report` */
export const reportQuery = z.strictObject({
  organization_id: id,
  since: moment.optional(),
  until: moment.optional(),
});
