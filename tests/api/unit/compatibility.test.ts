import assert from "node:assert/strict";
import {
  type ApiDocument,
  breakingChanges,
} from "../../../scripts/building/openapi/compatibility.ts";
import { frozenVersions, readFrozenApi } from "../../../scripts/building/releases.ts";
import { inRepository } from "../../../scripts/stack/paths.ts";

const asked = {
  type: "object",
  properties: { name: { type: "string", maxLength: 9 }, kind: { enum: ["a", "b"] } },
  required: ["name"],
  additionalProperties: false,
};
const answered = {
  type: "object",
  properties: { id: { type: "string" }, of: { type: ["string", "null"] }, kind: { enum: ["a"] } },
  required: ["id", "of"],
};
const refusal = { properties: { code: { enum: ["NO"] } } };
const document: ApiDocument = {
  paths: {
    "/things": {
      post: {
        operationId: "make",
        parameters: [{ name: "dry", schema: { type: "boolean" } }],
        requestBody: { content: { "application/json": { schema: asked } } },
        responses: {
          200: {
            content: { "application/json": { schema: { $ref: "#/components/schemas/Thing" } } },
          },
          403: { content: { "application/json": { schema: refusal } } },
        },
      },
    },
  },
  components: { schemas: { Thing: answered } },
};

/** The breaking changes when the document is edited. */
// deno-lint-ignore no-explicit-any -- any part may be edited
function after(edit: (parts: any) => void): string[] {
  const copy = structuredClone(document);
  edit({
    ...{ copy, make: copy.paths["/things"]!["post"] },
    asked: copy.paths["/things"]!["post"]!.requestBody!.content["application/json"]!.schema,
    answered: copy.components!["schemas"]!["Thing"],
  });
  return breakingChanges(document, copy).map(({ operation, change }) => `${operation}: ${change}`);
}

Deno.test("API-C01: additions break nobody", () => {
  assert.deepEqual(
    after(({ copy, make, asked, answered }) => {
      copy.paths["/more"] = {};
      make.parameters.push({ name: "more", schema: {} });
      asked.properties.more = { type: "string" };
      asked.properties.kind.enum.push("c");
      asked.properties.name.maxLength = 10;
      answered.properties.more = { type: "string" };
      answered.properties.kind.enum.push("b");
      answered.properties.of.type = "string";
      make.responses[409] = {};
    }),
    [],
  );
});

for (
  const [change, edit] of [
    ["POST /things is gone", ({ copy }) => delete copy.paths["/things"]],
    ["the parameter dry is gone", ({ make }) => make.parameters = []],
    [
      "requires the parameter more",
      ({ make }) => make.parameters.push({ name: "more", required: true }),
    ],
    ["body.kind is required", ({ asked }) => asked.required.push("kind")],
    ["body.kind is gone", ({ asked }) => delete asked.properties.kind],
    ["body.kind refuses b", ({ asked }) => asked.properties.kind.enum = ["a"]],
    ["body.name: maxLength is 8, not 9", ({ asked }) => asked.properties.name.maxLength = 8],
    [
      "body.name: the type is number, not string",
      ({ asked }) => asked.properties.name.type = "number",
    ],
    ["answer.id is gone", ({ answered }) => {
      delete answered.properties.id;
      answered.required = ["of"];
    }],
    ["answer.id may be missing", ({ answered }) => answered.required = ["of"]],
    [
      "answer.id: the type is string or null, not string",
      ({ answered }) => answered.properties.id.type = ["string", "null"],
    ],
    ["does not answer 200 any more", ({ make }) => delete make.responses[200]],
    ["NO has status 404, not 403", ({ make }) => {
      make.responses[404] = make.responses[403];
      delete make.responses[403];
    }],
    // deno-lint-ignore no-explicit-any -- any part may be edited
  ] as [string, (parts: any) => unknown][]
) {
  Deno.test(`API-C02: a breaking change is found: ${change}`, () => {
    assert.deepEqual(after(edit), [`make: ${change}`]);
  });
}

Deno.test("API-C03: the changelog names what is not as in the newest version", async () => {
  const newest = (await frozenVersions()).at(-1);
  const frozen = newest === undefined ? null : await readFrozenApi(newest);
  const present = JSON.parse(await Deno.readTextFile(inRepository("docs", "openapi.json")));
  const changelog = await Deno.readTextFile(inRepository("CHANGELOG.md"));
  const [, latest = ""] = changelog.split(/^## /m);
  const [, announced = ""] = latest.split(/^### Breaking$/m);
  const unannounced = frozen === null
    ? []
    : breakingChanges(frozen, present).filter(({ operation }) => !announced.includes(operation));
  assert.deepEqual(unannounced, []);
});
