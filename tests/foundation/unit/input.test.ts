import assert from "node:assert/strict";
import { z } from "zod";
import { id, parse } from "../../../supabase/functions/_bulwark/foundation/input.ts";

const messageOf = (schema: z.ZodType, input: unknown) => {
  try {
    parse(schema, input);
    return "";
  } catch (thrown) {
    return (thrown as Error).message;
  }
};

Deno.test("an id is any UUID in its canonical form, written as Postgres writes it", () => {
  for (
    const value of [
      "11111111-1111-1111-1111-000000000001",
      "00000000-0000-0000-0000-000000000000",
      "ffffffff-ffff-ffff-ffff-ffffffffffff",
      "0190b5d4-4f5c-7000-8000-000000000000",
    ]
  ) assert.equal(parse(id, value), value);
  assert.equal(
    parse(id, "ABCDEF01-0000-0000-0000-000000000000"),
    "abcdef01-0000-0000-0000-000000000000",
  );
  for (
    const value of [
      "",
      "11111111-1111-1111-1111-00000000000",
      "11111111111111111111000000000001",
      "{11111111-1111-1111-1111-000000000001}",
      "11111111-1111-1111-1111-000000000001\n",
      "g1111111-1111-1111-1111-000000000001",
      1,
      null,
    ]
  ) assert.notEqual(messageOf(id, value), "", String(value));
});

Deno.test("no function judges ids and addresses by a rule of its own", async () => {
  const folder = new URL("../../../supabase/functions/", import.meta.url);
  const found: string[] = [];
  const look = async (at: URL) => {
    for await (const { name, isDirectory } of Deno.readDir(at)) {
      if (isDirectory) await look(new URL(`${name}/`, at));
      else if (name.endsWith(".ts") && !name.endsWith(".test.ts")) {
        const source = await Deno.readTextFile(new URL(name, at));
        if (name === "input.ts") continue;
        if (/\.(?:uuid|guid|uuidv\d|email|cuid2?|ulid)\(/.test(source)) found.push(name);
      }
    }
  };
  await look(folder);
  assert.deepEqual(found, []);
});

Deno.test("what is refused is named: the field that is missing, surplus or of the wrong form", () => {
  const body = z.strictObject({
    name: z.string().min(1),
    rows: z.array(z.strictObject({ key: z.string() })).default([]),
  });
  for (
    const [input, message] of [
      [{}, "Cannot read name: it is missing"],
      [{ name: 1 }, "Cannot read name: it has no valid form"],
      [{ name: null }, "Cannot read name: it has no valid form"],
      [{ name: "" }, "Cannot read name: it has no valid form"],
      [{ name: "x", other: 1 }, "Cannot read other: there is no such field here"],
      [{ name: "x", "<b>": 1 }, "Cannot read a field: there is no such field here"],
      [{ name: "x", rows: [{}] }, "Cannot read rows.0.key: it is missing"],
      [
        { name: "x", rows: [{ key: "k", more: 1 }] },
        "Cannot read rows.0.more: there is no such field here",
      ],
      [[], "Cannot read the request: it has no valid form"],
      [null, "Cannot read the request: it has no valid form"],
    ] as const
  ) assert.equal(messageOf(body, input), message, JSON.stringify(input));
});

Deno.test("of several forms the one is named that was nearly met", () => {
  const either = z.union([z.strictObject({ factor_id: id }), z.strictObject({ code: z.string() })]);
  assert.equal(
    messageOf(either, { factor_id: "x" }),
    "Cannot read factor_id: it has no valid form",
  );
  assert.equal(messageOf(either, { code: 1 }), "Cannot read code: it has no valid form");
  assert.equal(
    messageOf(either, {}),
    "Cannot read factor_id or code: it is missing or has no valid form",
  );
});
