/** The paths of the Data API, from the catalogue. */
import type { Catalogue, ClientFunction, ClientTable, Column } from "./catalogue.ts";
import { type ErrorCode, refusals } from "./errors.ts";

const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` });

const types: Record<string, Record<string, unknown>> = {
  "uuid": { type: "string", format: "uuid" },
  "boolean": { type: "boolean" },
  "smallint": { type: "integer" },
  "integer": { type: "integer", format: "int32" },
  "bigint": { type: "integer", format: "int64" },
  "real": { type: "number" },
  "double precision": { type: "number" },
  "numeric": { type: "number" },
  "json": {},
  "jsonb": {},
  "date": { type: "string", format: "date" },
  "timestamp with time zone": { type: "string", format: "date-time" },
};

/** A value of a column as JSON. */
export function valueOf(column: Column, catalogue: Catalogue): Record<string, unknown> {
  const name = column.type.replace(/^bulwark\./, "");
  const known = catalogue.enums.has(name) || catalogue.rows.has(name);
  if (!known && name !== column.type) throw new TypeError(`${column.type} is not open to clients`);
  // Postgres writes the others as text: intervals, networks, transaction ids.
  const one: Record<string, unknown> = known ? ref(name) : types[column.type] ?? { type: "string" };
  const several = column.isArray ? { type: "array", items: one } : one;
  return column.nullable ? orNull(several) : several;
}

function orNull(schema: Record<string, unknown>): Record<string, unknown> {
  if (typeof schema.type === "string") return { ...schema, type: [schema.type, "null"] };
  return Object.keys(schema).length === 0 ? schema : { anyOf: [schema, { type: "null" }] };
}

/** The schema of a row. */
export function rowSchema(columns: readonly Column[], catalogue: Catalogue): object {
  return {
    type: "object",
    properties: Object.fromEntries(columns.map((column) => [column.name, {
      ...valueOf(column, catalogue),
      ...column.comment ? { description: prose(column.comment) } : {},
    }])),
    required: columns.map(({ name }) => name),
    additionalProperties: false,
  };
}

/** A comment as one paragraph. */
const prose = (comment: string) => comment.replaceAll(/\s+/g, " ");
const refusal = { schema: "DataApiError", field: "details" } as const;
const common = { default: { $ref: "#/components/responses/DataApiRefusal" } };
const user = { user: [], publishable_key: [] };
const anybody = { publishable_key: [] };

/** A call of a function. */
export function callOf(
  called: ClientFunction,
  catalogue: Catalogue,
  { known, tag }: { known: Map<string, ErrorCode>; tag: string },
): object {
  const { name, args, roles } = called;
  const comment = prose(called.comment);
  const codes = codesNamedBy(called, catalogue).filter((code) => known.has(code));
  const required = args.filter(({ preset }) => preset === null).map(({ name }) => name);
  return {
    tags: [tag],
    operationId: name,
    summary: comment.split(/(?<=\.) (?=[A-Z])/)[0]?.replace(/\.$/, ""),
    description: comment,
    security: [user, ...roles.includes("anon") ? [anybody] : []],
    parameters: [{ $ref: "#/components/parameters/ContentProfile" }],
    requestBody: {
      required: true,
      content: {
        "application/json": {
          schema: {
            type: "object",
            properties: Object.fromEntries(args.map((arg) => [arg.name, {
              ...valueOf(
                { ...arg, nullable: arg.preset !== null && /^null\b/i.test(arg.preset) },
                catalogue,
              ),
              ...arg.preset === null ? {} : { description: `Default: \`${arg.preset}\`` },
            }])),
            ...required.length > 0 ? { required } : {},
            additionalProperties: false,
          },
        },
      },
    },
    responses: { ...returned(called, catalogue), ...refusals(codes, known, refusal), ...common },
  };
}

/** The codes in a function's comment, and in the comments that it refers to by "those of". */
function codesNamedBy(called: ClientFunction, catalogue: Catalogue): string[] {
  const found = new Set<string>();
  const seen = new Set<string>();
  const follow = ({ name, comment }: ClientFunction) => {
    if (seen.has(name)) return;
    seen.add(name);
    const text = prose(comment);
    for (const code of text.match(/\b[A-Z]{2,}(?:_[A-Z]+)+\b/g) ?? []) found.add(code);
    for (const [, names = ""] of text.matchAll(/those of ([^.;]+)/g)) {
      const named: string[] = names.match(/\w+/g) ?? [];
      for (const each of catalogue.functions) if (named.includes(each.name)) follow(each);
    }
  };
  follow(called);
  // The permission may be withheld until the session has verified a second factor.
  if (found.has("RBAC_PERMISSION_DENIED")) found.add("MFA_REQUIRED");
  return [...found];
}

function returned(called: ClientFunction, catalogue: Catalogue): Record<string, object> {
  const [first] = called.returns;
  if (!called.returnsTable && first?.type === "void") return { 204: { description: "Done" } };
  const one = called.returnsTable
    ? rowSchema(called.returns, catalogue)
    : valueOf(first!, catalogue);
  const schema = called.returnsSet ? { type: "array", items: one } : one;
  return { 200: { description: "The result", content: { "application/json": { schema } } } };
}

/** A query of a table. */
export function queryOf({ name, comment, columns }: ClientTable, tag: string): object {
  const shared = ["select", "order", "limit", "offset", "AcceptProfile"];
  return {
    tags: [tag],
    operationId: `read_${name}`,
    summary: `Reads ${name}`,
    description: prose(comment),
    security: [user],
    parameters: [
      ...columns.map((column) => ({
        name: column.name,
        in: "query",
        description: column.comment ? prose(column.comment) : "A filter, such as `eq.value`",
        schema: { type: "string" },
      })),
      ...shared.map((name) => ({ $ref: `#/components/parameters/${name}` })),
    ],
    responses: {
      200: {
        description: "The rows that the caller may see",
        content: { "application/json": { schema: { type: "array", items: ref(name) } } },
      },
      ...common,
    },
  };
}
