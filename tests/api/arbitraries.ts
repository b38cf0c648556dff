/** Inputs generated from schemas: valid ones, and ones that no honest client sends. */
import fc from "fast-check";
import { resolve, type Schema } from "./document.ts";

/** Values that lead somewhere: ids that exist, names that do. */
export interface Known {
  ids: string[];
  texts: string[];
}

const odd: fc.Arbitrary<unknown> = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.integer(),
  fc.double({ noNaN: true }),
  fc.string({ unit: "binary", maxLength: 80 }),
  fc.constantFrom("\u0000", "\ud800", "infinity", "99999999999999999999", "{}", "ä".repeat(3000)),
  fc.array(fc.string(), { maxLength: 3 }),
  fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 }),
);

/** A value for a schema; now and then an odd one in place of a part. */
export function valueFor(given: Schema, known: Known, oddness = 1): fc.Arbitrary<unknown> {
  const schema = resolve(given);
  const part = (each: unknown) =>
    fc.oneof(
      { weight: 12, arbitrary: valueFor(each as Schema, known, oddness) },
      { weight: oddness, arbitrary: odd },
    );
  const several = (schema.anyOf ?? schema.oneOf) as Schema[] | undefined;
  if (several) return fc.oneof(...several.map((each) => valueFor(each, known, oddness)));
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum) return fc.constantFrom(...schema.enum);
  if (Array.isArray(schema.type)) {
    return fc.oneof(
      ...schema.type.map((type) => valueFor({ ...schema, type }, known, oddness)),
    );
  }
  const number = (name: string, other: number) =>
    typeof schema[name] === "number" ? schema[name] as number : other;
  switch (schema.type) {
    case "string":
      return textFor(schema, known, number("minLength", 0), Math.min(number("maxLength", 60), 60));
    case "integer":
    case "number":
      return fc.oneof(
        fc.integer({ min: number("minimum", 0), max: Math.min(number("maximum", 100), 2 ** 40) }),
        fc.constantFrom(-1, 2 ** 31, 2 ** 53),
      );
    case "boolean":
      return fc.boolean();
    case "null":
      return fc.constant(null);
    case "array":
      return fc.array(part(schema.items), {
        minLength: number("minItems", 0),
        maxLength: Math.min(number("maxItems", 3), 3),
      });
    case "object": {
      const fields = schema.properties as Record<string, Schema> | undefined;
      if (!fields) {
        return fc.dictionary(fc.string({ minLength: 1, maxLength: 8 }), odd, { maxKeys: 2 });
      }
      return fc.record(
        Object.fromEntries(Object.entries(fields).map(([name, each]) => [name, part(each)])),
        { requiredKeys: (schema.required as string[] | undefined) ?? [] },
      );
    }
    default:
      return fc.oneof(odd, fc.dictionary(fc.string(), odd, { maxKeys: 3 }));
  }
}

function textFor(schema: Schema, known: Known, minLength: number, maxLength: number) {
  if (schema.format === "uuid") return fc.oneof(fc.constantFrom(...known.ids), fc.uuid());
  if (schema.format === "date-time") {
    return fc.date({ noInvalidDate: true, min: new Date(0), max: new Date("2100-01-01") })
      .map((date) => date.toISOString());
  }
  const plain = fc.string({ minLength, maxLength });
  const pattern = typeof schema.pattern === "string" ? matching(schema.pattern) : null;
  return fc.oneof(
    ...pattern ? [{ weight: 6, arbitrary: pattern }] : [],
    { weight: 4, arbitrary: fc.constantFrom(...known.texts) },
    { weight: 2, arbitrary: plain },
    { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 80 }) },
  );
}

/** Null for a pattern that fast-check cannot generate. */
function matching(pattern: string): fc.Arbitrary<string> | null {
  try {
    return fc.stringMatching(new RegExp(pattern, "u"));
  } catch {
    return null;
  }
}
