/** Finds the breaking changes of the API, by the rules in docs/releases.md. */

/** A schema of the document, as far as it is compared. */
interface Schema {
  $ref?: string;
  type?: string | string[];
  enum?: unknown[];
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
  items?: Schema;
  anyOf?: Schema[];
  allOf?: Schema[];
  [keyword: string]: unknown;
}

interface Parameter {
  $ref?: string;
  name: string;
  required?: boolean;
  schema: Schema;
}

type Content = Record<string, { schema: Schema }>;

interface Operation {
  operationId: string;
  parameters?: Parameter[];
  requestBody?: { content: Content };
  responses: Record<string, { $ref?: string; content?: Content }>;
}

/** An OpenAPI document. */
export interface ApiDocument {
  paths: Record<string, Record<string, Operation>>;
  components?: Record<string, Record<string, unknown>>;
}

/** One change that a caller of the version before may notice. */
export interface BreakingChange {
  operation: string;
  change: string;
}

/** The side that a schema is of: what a caller sends, or what it gets. */
type Side = "asked" | "answered";

/** Compares the operations of two documents; additions are no change. */
export function breakingChanges(before: ApiDocument, after: ApiDocument): BreakingChange[] {
  const found: BreakingChange[] = [];
  for (const [path, methods] of Object.entries(before.paths)) {
    for (const [method, old] of Object.entries(methods)) {
      const now = after.paths[path]?.[method];
      const changes = now
        ? new Comparison(before, after).operation(old, now)
        : [`${method.toUpperCase()} ${path} is gone`];
      found.push(...changes.map((change) => ({ operation: old.operationId, change })));
    }
  }
  return found;
}

class Comparison {
  readonly #seen = new Set<string>();
  readonly #changes: string[] = [];

  constructor(readonly before: ApiDocument, readonly after: ApiDocument) {}

  operation(old: Operation, now: Operation): string[] {
    const parameters = (document: ApiDocument, { parameters = [] }: Operation) =>
      new Map(parameters.map((given) => {
        const parameter = resolved(document, given) as Parameter;
        return [parameter.name, parameter];
      }));
    const [was, is] = [parameters(this.before, old), parameters(this.after, now)];
    for (const [name, parameter] of was) {
      const kept = is.get(name);
      if (!kept) this.#changes.push(`the parameter ${name} is gone`);
      else this.#schema(name, parameter.schema, kept.schema, "asked");
    }
    for (const [name, { required }] of is) {
      if (required && !was.get(name)?.required) {
        this.#changes.push(`requires the parameter ${name}`);
      }
    }
    const body = jsonOf(now.requestBody?.content);
    if (body) this.#schema("body", jsonOf(old.requestBody?.content) ?? {}, body, "asked");
    for (const [status, response] of Object.entries(old.responses)) {
      if (!status.startsWith("2")) continue;
      const kept = now.responses[status];
      if (!kept) this.#changes.push(`does not answer ${status} any more`);
      const [content, present] = [jsonOf(response.content), jsonOf(kept?.content)];
      if (content && present) this.#schema("answer", content, present, "answered");
      if (kept && content && !present) this.#changes.push(`answers ${status} without contents`);
    }
    const statuses = codes(now);
    for (const [code, status] of codes(old)) {
      const other = statuses.get(code);
      if (other && other !== status) {
        this.#changes.push(`${code} has status ${other}, not ${status}`);
      }
    }
    return this.#changes;
  }

  #schema(place: string, given: Schema, present: Schema, side: Side): void {
    const refs = `${given.$ref} ${present.$ref} ${side}`;
    if (given.$ref && present.$ref) {
      if (this.#seen.has(refs)) return;
      this.#seen.add(refs);
    }
    const old = resolved(this.before, given) as Schema;
    const now = resolved(this.after, present) as Schema;
    const [narrow, wide] = side === "asked" ? [now, old] : [old, now];
    // The narrow side has to accept everything that the wide one may be.
    const types = typesOf(narrow);
    const missing = types.length > 0 ? typesOf(wide).filter((type) => !types.includes(type)) : [];
    if (missing.length > 0 || types.length > 0 && typesOf(wide).length === 0 && !isEmpty(wide)) {
      this.#changes.push(`${place}: the type is ${shown(now)}, not ${shown(old)}`);
    }
    if (side === "asked") this.#bounds(place, old, now);
    for (const [name, schema] of Object.entries(old.properties ?? {})) {
      const kept = now.properties?.[name];
      if (kept) this.#schema(`${place}.${name}`, schema, kept, side);
      else if (now.properties) this.#changes.push(`${place}.${name} is gone`);
    }
    const required = (by: Schema, than: Schema) =>
      (by.required ?? []).filter((name) => !(than.required ?? []).includes(name));
    if (side === "asked") {
      for (const name of required(now, old)) this.#changes.push(`${place}.${name} is required`);
    } else if (now.properties) {
      for (const name of required(old, now)) {
        if (now.properties[name]) this.#changes.push(`${place}.${name} may be missing`);
      }
    }
    if (old.items && now.items) this.#schema(`${place}[]`, old.items, now.items, side);
    for (const key of ["anyOf", "allOf"] as const) {
      const alternatives = now[key] ?? [];
      for (const [index, schema] of (old[key] ?? []).entries()) {
        if (alternatives[index]) this.#schema(place, schema, alternatives[index], side);
        else this.#changes.push(`${place}: one of its forms is gone`);
      }
    }
  }

  #bounds(place: string, old: Schema, now: Schema): void {
    const refused = (old.enum ?? []).filter((value) => now.enum && !now.enum.includes(value));
    if (refused.length > 0) this.#changes.push(`${place} refuses ${refused.join(", ")}`);
    if (now.enum && !old.enum) this.#changes.push(`${place} accepts only ${now.enum.join(", ")}`);
    const bounds = [["maxLength", 1], ["maxItems", 1], ["maximum", 1], ["minLength", -1], [
      "minItems",
      -1,
    ], ["minimum", -1]] as const;
    for (const [bound, sign] of bounds) {
      const [was, is] = [old[bound], now[bound]] as (number | undefined)[];
      if (is !== undefined && (was === undefined || is * sign < was * sign)) {
        this.#changes.push(`${place}: ${bound} is ${is}, not ${was ?? "unbounded"}`);
      }
    }
    if (now["pattern"] !== undefined && now["pattern"] !== old["pattern"]) {
      this.#changes.push(`${place}: another pattern`);
    }
  }
}

const jsonOf = (content: Content | undefined): Schema | undefined =>
  content?.["application/json"]?.schema;

const typesOf = ({ type = [] }: Schema): string[] => typeof type === "string" ? [type] : type;

const isEmpty = (schema: Schema): boolean => Object.keys(schema).length === 0;

const shown = (schema: Schema): string => typesOf(schema).join(" or ") || "any";

/** Follows a reference in its document. */
function resolved(document: ApiDocument, given: { $ref?: string }): object {
  let found: { $ref?: string } = given;
  while (found.$ref) {
    const [, , kind, name] = found.$ref.split("/") as [string, string, string, string];
    found = (document.components?.[kind]?.[name] ?? {}) as { $ref?: string };
  }
  return found;
}

/** The status of each code of Bulwark that an operation may answer. */
function codes({ responses }: Operation): Map<string, string> {
  return new Map(
    Object.entries(responses).flatMap(([status, { content }]) => {
      const { code, details } = jsonOf(content)?.properties ?? {};
      return [...code?.enum ?? [], ...details?.enum ?? []].map((name) =>
        [String(name), status] as const
      );
    }),
  );
}
