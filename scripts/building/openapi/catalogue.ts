/** The part of the database that clients may use through the Data API. */
import type postgres from "postgres";

/** A column, or an argument of a function. */
export interface Column {
  name: string;
  /** The type of a value, as `format_type` names it; that of the elements of an array. */
  type: string;
  /** How many dimensions of an array there are; 0: no array. */
  isArray: boolean;
  nullable: boolean;
  /** The default of an argument in SQL; null: it has to be given. */
  preset: string | null;
  comment: string | null;
}

/** A function that clients may call. */
export interface ClientFunction {
  name: string;
  comment: string;
  roles: string[];
  args: Column[];
  /** The columns of a row, if it returns a table; otherwise one column without a name. */
  returns: Column[];
  returnsTable: boolean;
  returnsSet: boolean;
}

/** A table or view that clients may read. */
export interface ClientTable {
  name: string;
  comment: string;
  columns: Column[];
}

/** Everything that clients may use. */
export interface Catalogue {
  functions: ClientFunction[];
  tables: ClientTable[];
  /** The values of each enum. */
  enums: Map<string, string[]>;
  /** The columns of each composite type, and of each table that a function returns. */
  rows: Map<string, Column[]>;
}

/** Reads it from a migrated database. */
export async function readCatalogue(sql: postgres.Sql): Promise<Catalogue> {
  const functions = await sql<FunctionRow[]>`
    select p.proname as name, obj_description(p.oid, 'pg_proc') as comment,
      array(
        select role from unnest(array['anon', 'authenticated', 'api_key']) role
        where has_function_privilege(role, p.oid, 'execute')) as roles,
      p.proretset as is_set, r.typtype as kind,
      ${typeOf(sql, sql`r`)} as returned, r.typcategory = 'A' as is_array,
      coalesce((
        select jsonb_agg(jsonb_build_object(
          'name', a.name, 'type', ${typeOf(sql, sql`t`)}, 'isArray', t.typcategory = 'A',
          'mode', coalesce(p.proargmodes[a.number]::text, 'i'),
          'preset', pg_get_function_arg_default(p.oid, a.number::integer)) order by a.number)
        from unnest(coalesce(p.proallargtypes, p.proargtypes::oid[]), p.proargnames)
          with ordinality a(type, name, number)
        join pg_type t on t.oid = a.type), '[]') as args
    from pg_proc p
    join pg_type r on r.oid = p.prorettype
    where p.pronamespace = 'bulwark'::regnamespace
      and (has_function_privilege('authenticated', p.oid, 'execute')
        or has_function_privilege('anon', p.oid, 'execute'))
    order by p.proname collate "C"`;
  const relations = await sql<{ name: string; comment: string; columns: Column[] }[]>`
    select c.relname as name, coalesce(obj_description(c.oid, 'pg_class'), '') as comment,
      jsonb_agg(jsonb_build_object(
        'name', a.attname, 'type', ${typeOf(sql, sql`t`)}, 'isArray', t.typcategory = 'A',
        'nullable', not a.attnotnull, 'preset', null,
        'comment', col_description(c.oid, a.attnum)) order by a.attnum) as columns
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    join pg_type t on t.oid = a.atttypid
    where c.relnamespace = 'bulwark'::regnamespace and c.relkind in ('r', 'v', 'p', 'c')
      and (c.relkind = 'c' or has_column_privilege('authenticated', c.oid, a.attnum, 'select'))
    group by c.oid, c.relname order by c.relname collate "C"`;
  const composites = await sql<{ name: string }[]>`
    select relname as name from pg_class
    where relnamespace = 'bulwark'::regnamespace and relkind = 'c'`;
  const enums = await sql<{ name: string; values: string[] }[]>`
    select t.typname as name, array_agg(e.enumlabel::text order by e.enumsortorder) as values
    from pg_type t join pg_enum e on e.enumtypid = t.oid
    where t.typnamespace = 'bulwark'::regnamespace
    group by t.typname order by t.typname collate "C"`;
  const isComposite = new Set(composites.map(({ name }) => name));
  return {
    functions: functions.map(readFunction),
    tables: relations.filter(({ name }) => !isComposite.has(name)),
    enums: new Map(enums.map(({ name, values }) => [name, values])),
    rows: new Map(relations.map(({ name, columns }) => [name, columns])),
  };
}

/** The name of a type; of an array, that of its elements; of a domain, that of its base. */
function typeOf(sql: postgres.Sql, type: postgres.PendingQuery<postgres.Row[]>) {
  return sql`format_type(case
    when ${type}.typcategory = 'A' then ${type}.typelem
    when ${type}.typtype = 'd' then ${type}.typbasetype
    else ${type}.oid end, null)`;
}

interface FunctionRow {
  name: string;
  comment: string | null;
  roles: string[];
  is_set: boolean;
  returned: string;
  is_array: boolean;
  args: {
    name: string | null;
    type: string;
    isArray: boolean;
    mode: string;
    preset: string | null;
  }[];
}

function readFunction(row: FunctionRow): ClientFunction {
  const columns = (modes: string) =>
    row.args.filter(({ mode }) => modes.includes(mode)).map((each): Column => ({
      ...each,
      name: each.name ?? "",
      // Postgres does not know which of them can be null; nullability.ts marks those that cannot.
      nullable: true,
      comment: null,
    }));
  const table = columns("tob");
  const scalar: Column = {
    name: "",
    type: row.returned,
    isArray: row.is_array,
    nullable: true,
    preset: null,
    comment: null,
  };
  return {
    name: row.name,
    comment: row.comment ?? "",
    roles: row.roles,
    args: columns("ib"),
    returns: table.length > 0 ? table : [scalar],
    returnsTable: table.length > 0,
    returnsSet: row.is_set,
  };
}
