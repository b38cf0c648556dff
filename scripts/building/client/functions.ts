/** The inputs and answers of the edge functions as types, from their declarations. */
import { z } from "zod";
import {
  consistencyProof,
  inclusionProof,
} from "../../../supabase/functions/_bulwark/audit/proof_schema.ts";
import type { Operation } from "../../../supabase/functions/_bulwark/foundation/operation.ts";
import { operations } from "../openapi/operations.ts";

/** The library asks the Data API instead. */
const unused = ["/bulwark-rbac", "/bulwark-metrics"];

/** The operations that a person calls. */
const requests = Object.values(operations).flatMap((each) => Object.values(each))
  .filter(({ path, auth }) => auth.includes("user") && !unused.includes(path));

type JsonSchema = z.core.JSONSchema.BaseSchema;

/** The types of the inputs. */
export function inputsModule(): string {
  return `/** The inputs of the edge functions, by path. */
export interface Inputs {
${requests.map((each) => fieldOf(each, each.input, "input")).join("")}}
`;
}

/** The types of the answers in JSON. */
export function answersModule(): string {
  return `import type { BulwarkCode } from "./codes.ts";

/** The answers of the edge functions, by path. */
export interface FunctionAnswers {
${requests.map((each) => fieldOf(each, each.output?.(), "output")).join("")}}
`;
}

/** The types of proofs for the functions and the verifier, which is built without zod. */
export function proofsModule(): string {
  const answerOf = (schema: z.ZodType) => typeOf(jsonSchema(schema, "output"), "output");
  return `/** The types of proofs, generated from proof_schema.ts; hashes are base64. */

/** Proves that an entry is in the log. */
export interface EntryProof ${answerOf(inclusionProof())}

/** Proves that the tree of \`to_size\` seals extends the tree of \`from_size\` seals. */
export interface ConsistencyProof ${answerOf(consistencyProof())}
`;
}

function fieldOf({ path }: Operation, schema: z.ZodType | undefined, io: "input" | "output") {
  if (!schema) return "";
  return `  ${JSON.stringify(path.slice(1))}: ${typeOf(jsonSchema(schema, io), io)};\n`;
}

function jsonSchema(schema: z.ZodType, io: "input" | "output"): JsonSchema {
  return z.toJSONSchema(schema, { io, unrepresentable: "any" }) as JsonSchema;
}

/** A JSON schema as a type. */
function typeOf(schema: JsonSchema, io: "input" | "output"): string {
  if (schema.$ref === "#/$defs/Code") return "BulwarkCode";
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const several = schema.anyOf ?? schema.oneOf;
  if (several) return several.map((each) => typeOf(each as JsonSchema, io)).join(" | ");
  if (Array.isArray(schema.type)) {
    return schema.type.map((type) => typeOf({ ...schema, type }, io)).join(" | ");
  }
  switch (schema.type) {
    case "string":
    case "boolean":
    case "null":
      return schema.type;
    case "integer":
    case "number":
      return "number";
    case "array": {
      const items = typeOf(schema.items as JsonSchema, io);
      if (io === "input") return `ReadonlyArray<${items}>`;
      return items.includes("|") ? `(${items})[]` : `${items}[]`;
    }
    case "object":
      return objectOf(schema, io);
    case undefined:
      return "unknown";
    default:
      throw new TypeError(`there is no type for ${JSON.stringify(schema)}`);
  }
}

function objectOf(
  { properties, required = [], additionalProperties }: JsonSchema,
  io: "input" | "output",
): string {
  if (!properties) {
    const values = typeof additionalProperties === "object"
      ? typeOf(additionalProperties, io)
      : "never";
    return `{ [name: string]: ${values} }`;
  }
  if (Object.keys(properties).length === 0) return "Record<string, never>";
  const fields = Object.entries(properties).map(([name, value]) => {
    const schema = value as JsonSchema;
    const comment = schema.description ? `\n/** ${schema.description} */\n` : "";
    const type = typeOf(schema, io);
    const orUndefined = io === "input" ? " | undefined" : "";
    return comment +
      (required.includes(name) ? `${name}: ${type}` : `${name}?: ${type}${orUndefined}`);
  });
  return `{ ${fields.join("; ")} }`;
}
