import type { Check } from "../context.ts";
import { calledPerRow } from "../nodes.ts";

/**
 * Policies that call a function of Bulwark, or one of the project that calls such a function, for
 * each row that is read. Rows that are written are few: `with check` is not looked at.
 */
export const policies: Check = async ({ sql }) => {
  const functions = await sql<{ oid: string; name: string }[]>`
    select p.oid::text, p.oid::regprocedure::text as name
    from pg_proc p
    join pg_namespace n on n.oid = p.pronamespace
    where p.prorettype <> 'trigger'::regtype and p.prokind = 'f' and (
      n.nspname in ('bulwark', 'bulwark_private')
      or n.nspname not in ('pg_catalog', 'information_schema') and (
        p.prosrc ~ '\\mbulwark[.]\\w+\\s*[(]'
        -- The body of a function in SQL's own syntax is kept as dependencies.
        or exists (
          select from pg_depend d join pg_proc o on o.oid = d.refobjid
          where d.classid = 'pg_proc'::regclass and d.objid = p.oid
            and d.refclassid = 'pg_proc'::regclass
            and o.pronamespace in (to_regnamespace('bulwark'), to_regnamespace('bulwark_private'))
        )
      )
    )
  `;
  const names = new Map(functions.map(({ oid, name }) => [oid, name.replace(/\(.*/, "")]));
  const ids = new Set(names.keys());
  const rows = await sql<{ relation: string; policy: string; condition: string }[]>`
    select p.polrelid::regclass::text as relation, p.polname::text as policy,
      p.polqual::text as condition
    from pg_policy p
    where p.polqual is not null
    order by 1, 2
  `;
  return rows.flatMap(({ relation, policy, condition }) => {
    const called = [...calledPerRow(condition, ids)].map((id) => names.get(id) ?? "").sort();
    if (called.length === 0) return [];
    return [{
      code: "POLICY_ASKS_PER_ROW" as const,
      object: `${relation}: ${policy}`,
      message: `The policy "${policy}" on ${relation} calls ${called.join(", ")} for each row`,
    }];
  });
};
