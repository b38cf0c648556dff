import type { Check, Context } from "../context.ts";
import type { Found } from "../finding.ts";

/** The exposed schemas, from each place that knows them: `bulwark` is, `bulwark_private` is not. */
export const exposedSchemas: Check = async (context) => {
  const sources = [...await inDatabase(context), ...inConfig(context)];
  if (sources.length === 0) {
    return [{
      code: "EXPOSED_SCHEMAS_UNKNOWN",
      object: "pgrst.db_schemas",
      message: "Which schemas the Data API exposes cannot be seen from the database",
    }];
  }
  return sources.flatMap(({ place, schemas }) => {
    const found: Found[] = [];
    if (!schemas.includes("bulwark")) {
      found.push({
        code: "SCHEMA_NOT_EXPOSED",
        object: place,
        message: `${place} does not list the schema bulwark`,
      });
    }
    if (schemas.includes("bulwark_private")) {
      found.push({
        code: "PRIVATE_SCHEMA_EXPOSED",
        object: place,
        message: `${place} lists the schema bulwark_private`,
      });
    }
    return found;
  });
};

interface Source {
  place: string;
  schemas: string[];
}

async function inDatabase({ sql }: Context): Promise<Source[]> {
  // The setting for one database comes before the one for all.
  const rows = await sql<{ value: string }[]>`
    select substring(s.setting from '=(.*)$') as value
    from pg_db_role_setting d
    cross join unnest(d.setconfig) as s (setting)
    where d.setrole = to_regrole('authenticator')
      and d.setdatabase in (0, (select b.oid from pg_database b where b.datname = current_database()))
      and s.setting ~ '^pgrst[.]db_schemas?='
    order by d.setdatabase desc
    limit 1
  `;
  return rows.map(({ value }) => ({
    place: "pgrst.db_schemas",
    schemas: value.split(",").map((name) => name.trim().replace(/^"(.*)"$/, "$1")),
  }));
}

function inConfig({ project }: Context): Source[] {
  if (!project) return [];
  const schemas = project.config("api.schemas");
  // Without the setting Supabase exposes these two.
  const exposed = Array.isArray(schemas) ? schemas.map(String) : ["public", "graphql_public"];
  return [{ place: "supabase/config.toml", schemas: exposed }];
}
