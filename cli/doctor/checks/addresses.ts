import type { Check } from "../context.ts";

/** The header with the client's address is named. */
export const addressHeader: Check = async ({ sql, has }) => {
  if (!has("bulwark.settings")) return [];
  const rows = await sql`
    select from bulwark.settings s where s.name = 'rate_limits.address_header' and s.value = 'null'
  `;
  return rows.map(() => ({
    code: "ADDRESS_HEADER_UNSET",
    object: "rate_limits.address_header",
    message: "No header with the client's address is trusted",
  }));
};
