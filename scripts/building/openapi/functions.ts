/** The paths of the edge functions, from their declarations. */
import { z } from "zod";
import type {
  Credential,
  Operation,
} from "../../../supabase/functions/_bulwark/foundation/operation.ts";
import {
  type ErrorCode,
  ofEveryBody,
  ofEveryInput,
  ofEveryOperation,
  ofEveryUser,
  refusals,
} from "./errors.ts";

type Schema = z.core.JSONSchema.BaseSchema;

/** A zod schema as a schema of the document. */
export function schemaOf(schema: z.ZodType, io: "input" | "output"): Schema {
  const made = z.toJSONSchema(schema, {
    io,
    target: "draft-2020-12",
    override({ jsonSchema }) {
      // The format says as much.
      if (jsonSchema.format === "uuid" || jsonSchema.format === "date-time") {
        delete jsonSchema.pattern;
      }
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
    },
  });
  const { $schema: _, $defs: __, ...rest } = made;
  return JSON.parse(JSON.stringify(rest).replaceAll("#/$defs/", "#/components/schemas/"));
}

/** The codes of an operation's refusals, those of its kind included. */
export function codesOf({ auth, errors, input, method, inQuery }: Operation): string[] {
  return [
    ...errors,
    ...ofEveryOperation,
    ...input ? ofEveryInput : [],
    ...input && method !== "GET" && !inQuery ? ofEveryBody : [],
    ...auth.includes("user") ? ofEveryUser : auth.length > 0 ? ["UNAUTHORIZED"] : [],
  ];
}

const needs: Record<Credential, object> = {
  user: { user: [] },
  secret_key: { secret_key: [] },
  scheduler: { scheduler: [] },
  scraper: { scraper: [] },
  api_key: { api_key: [] },
  webhook_signature: { webhook_signature: [] },
  scanner_signature: { scanner_signature: [] },
};

/** An operation of the document. */
export function operationOf(
  declared: Operation,
  { name, tag, known }: { name: string; tag: string; known: Map<string, ErrorCode> },
): object {
  const { path, method, summary, auth, rule, input, inQuery, output, media = [] } = declared;
  const isBody = input && method !== "GET" && !inQuery;
  const schema = output && schemaOf(output(), "output");
  const content = {
    ...schema ? { "application/json": { schema } } : {},
    ...Object.fromEntries(media.map((type) => [type, { schema: { type: "string" } }])),
  };
  const status = declared.status ?? (output || media.length > 0 ? 200 : 204);
  const answer = Object.keys(content).length > 0
    ? { description: "Success", content }
    : { description: "Success" };
  const responses = refusals(codesOf(declared), known, { schema: "Error", field: "code" });
  for (const [refused, response] of Object.entries(responses)) {
    // Rate limits refuse with the same fields and more.
    if (refused === "429" || refused === "503") problems(response);
  }
  for (const more of declared.statuses ?? []) {
    const refusal = responses[more] as { content: Record<string, { schema: object }> } | undefined;
    const schemas = [schema, refusal?.content["application/json"]?.schema].filter(Boolean);
    responses[more] = {
      ...refusal,
      description: `The same answer, or:\n${
        (refusal as { description?: string })?.description ?? ""
      }`,
      content: {
        ...refusal?.content,
        "application/json": { schema: { anyOf: schemas } },
      },
    };
  }
  return {
    tags: [tag],
    operationId: `functions_${tag}_${name}`,
    summary,
    ...rule ? { description: `Rate limit: \`${rule}\`.` } : {},
    security: auth.length > 0 ? auth.map((credential) => needs[credential]) : [],
    ...parametersOf(path, isBody ? undefined : input),
    ...isBody
      ? {
        requestBody: {
          required: true,
          content: { "application/json": { schema: schemaOf(input, "input") } },
        },
      }
      : {},
    responses: { [status]: answer, ...responses },
  };
}

function problems(response: object): void {
  const { content } = response as { content: Record<string, object> };
  content["application/problem+json"] = content["application/json"]!;
}

function parametersOf(path: string, query: z.ZodType | undefined): { parameters?: object[] } {
  const parameters: object[] = path.includes("<id>")
    ? [{ name: "id", in: "path", required: true, schema: { type: "string", format: "uuid" } }]
    : [];
  if (query) {
    const { properties = {}, required = [] } = schemaOf(query, "input");
    for (const [name, given] of Object.entries(properties)) {
      const { description, ...schema } = given as Schema;
      parameters.push({
        name,
        in: "query",
        ...required.includes(name) ? { required: true } : {},
        ...description ? { description } : {},
        schema: withoutNull(schema),
      });
    }
  }
  return parameters.length > 0 ? { parameters } : {};
}

/** A query holds no null: there the parameter is left out. */
function withoutNull({ anyOf, default: preset, ...rest }: Schema): Schema {
  const [only, ...more] = (anyOf ?? []).filter((each) => (each as Schema).type !== "null");
  const schema = only && more.length === 0 ? { ...rest, ...(only as Schema) } : rest;
  return preset === null || preset === undefined ? schema : { ...schema, default: preset };
}
