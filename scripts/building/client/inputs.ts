/** The inputs of the edge functions for the client library, from their zod schemas. */
import { z } from "zod";
import * as audit from "../../../supabase/functions/_bulwark/audit/input.ts";
import { reportQuery } from "../../../supabase/functions/_bulwark/compliance/input.ts";
import * as encryption from "../../../supabase/functions/_bulwark/encryption/input.ts";
import { bodies } from "../../../supabase/functions/_bulwark/mfa/input.ts";
import * as webhooks from "../../../supabase/functions/_bulwark/webhooks/input.ts";

/** The schemas of requests that a person makes, by path. */
const requests: Record<string, z.ZodType> = {
  "bulwark-audit/export": audit.exportQuery,
  "bulwark-audit/proof": audit.proofQuery,
  "bulwark-audit/proof/consistency": audit.consistencyQuery,
  "bulwark-compliance/report": reportQuery,
  "bulwark-encryption/encrypt": encryption.encryptInput,
  "bulwark-encryption/decrypt": encryption.decryptInput,
  "bulwark-encryption/find": encryption.findInput,
  "bulwark-encryption/rotate": encryption.rotateInput,
  "bulwark-mfa/enroll": bodies.enroll,
  "bulwark-mfa/activate": bodies.code,
  "bulwark-mfa/verify": bodies.code,
  "bulwark-mfa/verify-backup-code": bodies.code,
  "bulwark-mfa/backup-codes": bodies.nothing,
  "bulwark-mfa/disable": bodies.disable,
  "bulwark-mfa/devices": bodies.trust,
  "bulwark-mfa/devices/present": bodies.token,
  "bulwark-mfa/devices/revoke": bodies.revoke,
  "bulwark-mfa/resets": bodies.reset,
  "bulwark-mfa/resets/approve": bodies.decide,
  "bulwark-mfa/resets/cancel": bodies.decide,
  "bulwark-webhooks/endpoints": webhooks.newEndpoint,
  "bulwark-webhooks/endpoints/<id>/destination": webhooks.newDestination,
  "bulwark-webhooks/endpoints/<id>/preview": webhooks.previewing,
  "bulwark-webhooks/endpoints/<id>/rotate": webhooks.rotation,
};

type JsonSchema = z.core.JSONSchema.BaseSchema;

/** The types of the requests' inputs. */
export function inputsModule(): string {
  const inputs = Object.entries(requests).map(([path, schema]) =>
    `  ${JSON.stringify(path)}: ${typeOf(z.toJSONSchema(schema, options) as JsonSchema)};\n`
  );
  return `/** The inputs of the edge functions. */
export interface Inputs {
${inputs.join("")}}
`;
}

const options = { io: "input", unrepresentable: "any" } as const;

/** A JSON schema as a type. */
function typeOf(schema: JsonSchema): string {
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const several = schema.anyOf ?? schema.oneOf;
  if (several) return several.map((each) => typeOf(each as JsonSchema)).join(" | ");
  if (Array.isArray(schema.type)) {
    return schema.type.map((type) => typeOf({ ...schema, type })).join(" | ");
  }
  switch (schema.type) {
    case "string":
    case "boolean":
    case "null":
      return schema.type;
    case "integer":
    case "number":
      return "number";
    case "array":
      return `ReadonlyArray<${typeOf(schema.items as JsonSchema)}>`;
    case "object":
      return objectOf(schema);
    default:
      // A number that is coerced from a query accepts any type.
      if (Object.keys(schema).every((key) => ["minimum", "maximum", "default"].includes(key))) {
        return "number";
      }
      throw new TypeError(`there is no type for ${JSON.stringify(schema)}`);
  }
}

function objectOf({ properties, required = [], additionalProperties }: JsonSchema): string {
  if (!properties) {
    const values = typeof additionalProperties === "object"
      ? typeOf(additionalProperties)
      : "never";
    return `{ [name: string]: ${values} }`;
  }
  if (Object.keys(properties).length === 0) return "Record<string, never>";
  const fields = Object.entries(properties).map(([name, value]) => {
    const type = typeOf(value as JsonSchema);
    return required.includes(name) ? `${name}: ${type}` : `${name}?: ${type} | undefined`;
  });
  return `{ ${fields.join("; ")} }`;
}
