import type { Check } from "../context.ts";
import type { Found } from "../finding.ts";

/** Functions have the keys that wrap data keys. They report it: only they can tell. */
export const encryptionKeys: Check = async ({ sql, has }) => {
  if (!has("bulwark.report_key_fault")) return [];
  const rows = await sql<{ id: string; fault: string | null; lost: boolean; keys: number }[]>`
    select k.id, k.fault, k.lost_at is not null as lost, (
      select count(*) from bulwark_private.data_keys d where d.kek = k.id and d.state <> 'destroyed'
    )::integer as keys
    from bulwark_private.key_encryption_keys k
    where k.fault is not null or k.lost_at is not null
    order by k.id
  `;
  return rows.map(({ id, fault, lost, keys }): Found =>
    lost
      ? {
        code: "KEY_LOST",
        object: id,
        message: `Key ${id} was declared lost: fields under its ${keys} data keys cannot be read`,
      }
      : {
        code: "KEY_UNAVAILABLE",
        object: id,
        message: fault === "wrong"
          ? `A function has another key under the id ${id}, which wraps ${keys} data keys`
          : `A function lacks key ${id}, which wraps ${keys} data keys`,
      }
  );
};
