import { connect, publishableKey } from "../support.ts";

export const headers = { apikey: publishableKey, "content-type": "application/json" };

/** Removes all buckets, so that tests do not affect each other. */
export async function forget(): Promise<void> {
  const sql = connect(1);
  await sql`delete from bulwark_private.rate_limits`;
  await sql`update bulwark.rate_limit_blocks set lifted_at = now() where lifted_at is null`;
  await sql.end();
}
