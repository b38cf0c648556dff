/** The OpenAPI document as the judge of answers. */
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import { inRepository } from "../../scripts/stack/paths.ts";
import { ofEveryCall } from "../../scripts/building/openapi/errors.ts";

export interface Schema {
  [keyword: string]: unknown;
  type?: string | string[];
  enum?: unknown[];
  $ref?: string;
}

export interface Parameter {
  $ref?: string;
  name: string;
  in: "path" | "query" | "header";
  required?: boolean;
  schema: Schema;
}

/** An operation of the document. */
export interface Operation {
  method: string;
  path: string;
  operationId: string;
  security: Record<string, unknown>[];
  parameters?: Parameter[];
  requestBody?: { content: { "application/json": { schema: Schema } } };
  responses: Record<string, { $ref?: string; content?: Record<string, { schema: Schema }> }>;
}

export const document = JSON.parse(await Deno.readTextFile(inRepository("docs", "openapi.json")));

/** All operations, in the order of the document. */
export const operations: Operation[] = Object.entries<Record<string, object>>(document.paths)
  .flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) =>
      ({ ...operation, method: method.toUpperCase(), path }) as Operation
    )
  );

/** The part of the document that a reference names. */
export function resolve<Part extends { $ref?: string }>(part: Part): Part {
  if (!part.$ref) return part;
  return part.$ref.slice(2).split("/").reduce((value, key) => value[key], document);
}

const ajv = new Ajv2020({ strict: false, allErrors: true });
ajv.addFormat("uuid", /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i);
// The stack's stand-in of PostgREST writes a space where Postgres's own JSON has the T.
ajv.addFormat("date-time", /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d(:\d\d)?)$/);
ajv.addFormat("date", /^\d{4}-\d\d-\d\d$/);
for (const format of ["int32", "int64"]) ajv.addFormat(format, true);
ajv.addSchema(document, "openapi.json");

const compiled = new Map<string, ValidateFunction>();

/** The faults of a value by a schema at a place of the document. */
function faultsBy(place: string, value: unknown): string {
  const validate = compiled.get(place) ?? ajv.compile({ $ref: `openapi.json${place}` });
  compiled.set(place, validate);
  return validate(value) ? "" : ajv.errorsText(validate.errors);
}

const escaped = (part: string) => part.replaceAll("~", "~0").replaceAll("/", "~1");

/** SQLSTATEs and codes of PostgREST that need no code of Bulwark: a bad value, or a missing right. */
const generic = /^(22|23502|23514|42501|PGRST[12])/;

/** Compares an answer with its description; returns the fault, or an empty text. */
export function faultOf(operation: Operation, status: number, type: string, text: string): string {
  const { method, path, responses } = operation;
  if (status === 500) return `500 ${text}`;
  const key = responses[status] ? String(status) : "default";
  const place = `#/paths/${escaped(path)}/${method.toLowerCase()}/responses/${key}`;
  const response = responses[key];
  if (!response || (key === "default" && status < 400)) return `no ${status} is described: ${text}`;
  const { content = {} } = resolve(response);
  const media = type.split(";")[0] ?? "";
  if (Object.keys(content).length === 0) return text === "" ? "" : `a body with ${status}: ${text}`;
  if (!content[media]) return `no ${media} is described for ${status}: ${text}`;
  if (!/[/+]json$/.test(media)) return "";
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(text);
  } catch {
    return `no JSON: ${text}`;
  }
  const at = response.$ref ?? place;
  const fault = faultsBy(`${at}/content/${escaped(media)}/schema`, value);
  if (path.startsWith("/functions/")) return fault && `${status} ${fault}: ${text}`;
  if (status < 400) return fault && `${status} ${fault}: ${text}`;
  // The Data API: a described code for the status, one that all calls have, or one without a code.
  const code = typeof value.details === "string" && /^[A-Z]+(_[A-Z]+)+$/.test(value.details)
    ? value.details
    : null;
  if (code && ofEveryCall.includes(code)) return "";
  if (code) return key === "default" || fault ? `${status} ${code} is not described` : "";
  const shape = faultsBy("#/components/schemas/DataApiError", value);
  return shape || !generic.test(String(value.code)) ? `${status} ${shape}: ${text}` : "";
}
