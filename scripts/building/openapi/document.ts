/** The OpenAPI document: the edge functions, and the part of the Data API that clients may use. */
import type postgres from "postgres";
import { inRepository } from "../../stack/paths.ts";
import { capabilities } from "../capabilities.ts";
import { placesOf, readSources } from "../owners.ts";
import { type Catalogue, readCatalogue } from "./catalogue.ts";
import { callOf, queryOf, rowSchema } from "./data_api.ts";
import { errorCodes, ofEveryCall } from "./errors.ts";
import { operationOf } from "./functions.ts";
import { markNullable } from "./nullability.ts";
import { operations } from "./operations.ts";

/** Where the document is kept. */
export const documentPath = "docs/openapi.json";

/**
 * The document as text, from a migrated database and the client's types, of which `changed` has files that
 * are not written yet.
 */
export async function openApiDocument(
  sql: postgres.Sql,
  changed = new Map<string, string>(),
): Promise<string> {
  const catalogue = markNullable(await readCatalogue(sql), changed);
  const known = await errorCodes();
  const places = placesOf(await readSources());
  const tagOf = (name: string) =>
    capabilities[places.get(`bulwark.${name}`) ?? 0]?.name ?? "foundation";
  const paths: Record<string, Record<string, object>> = {};
  const add = (path: string, method: string, operation: object) => {
    paths[path] = { ...paths[path], [method.toLowerCase()]: operation };
  };
  for (const [tag, declared] of Object.entries(operations)) {
    for (const [name, each] of Object.entries(declared)) {
      const path = `/functions/v1${each.path.replace("<id>", "{id}")}`;
      add(path, each.method, operationOf(each, { name, tag, known }));
    }
  }
  for (const called of catalogue.functions) {
    const tag = tagOf(called.name);
    add(`/rest/v1/rpc/${called.name}`, "post", callOf(called, catalogue, { known, tag }));
  }
  for (const table of catalogue.tables) {
    add(`/rest/v1/${table.name}`, "get", queryOf(table, tagOf(table.name)));
  }
  const { version } = JSON.parse(await Deno.readTextFile(inRepository("package.json")));
  const document = {
    openapi: "3.1.1",
    info: {
      title: "Bulwark",
      version,
      description: "Enterprise security for a Supabase project. Guide: docs/api.md.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [
      { url: "/", description: "The host of this document" },
      {
        url: "https://{project}.supabase.co",
        description: "A hosted project",
        variables: { project: { default: "your-project" } },
      },
    ],
    tags: capabilities.map(({ name, description }) => ({ name, description })),
    paths,
    components: componentsOf(catalogue, [...known.keys()]),
  };
  return `${JSON.stringify(document, null, 1)}\n`;
}

function componentsOf(catalogue: Catalogue, codes: string[]): object {
  const { enums, rows } = catalogue;
  const json = (schema: string) => ({
    "application/json": { schema: { $ref: `#/components/schemas/${schema}` } },
  });
  const bearer = (description: string) => ({ type: "http", scheme: "bearer", description });
  const header = (name: string, description: string) => ({
    type: "apiKey",
    in: "header",
    name,
    description,
  });
  const query = (name: string, description: string, type: string) => ({
    name,
    in: "query",
    description,
    schema: { type },
  });
  const profile = (name: string) => ({
    name,
    in: "header",
    required: true,
    description: "The schema of the database",
    schema: { type: "string", enum: ["bulwark"] },
  });
  return {
    securitySchemes: {
      user: { ...bearer("The access token of a user, or of an API key"), bearerFormat: "JWT" },
      publishable_key: header("apikey", "The publishable key of the project"),
      secret_key: bearer("The secret key of the project, for servers alone"),
      scheduler: bearer("The secret of the scheduler"),
      scraper: bearer("The token of the scraper of metrics"),
      api_key: header("x-api-key", "An API key of an organization"),
      webhook_signature: header("webhook-signature", "As in Standard Webhooks"),
      scanner_signature: header("github-public-key-signature", "As in GitHub's secret scanning"),
    },
    parameters: {
      select: query("select", "The columns, separated by commas", "string"),
      order: query("order", "Such as `name.asc`", "string"),
      limit: query("limit", "The number of rows at most", "integer"),
      offset: query("offset", "The number of rows to skip", "integer"),
      AcceptProfile: profile("Accept-Profile"),
      ContentProfile: profile("Content-Profile"),
    },
    responses: {
      DataApiRefusal: {
        description: "A refusal. Without a code of Bulwark in `details` it is one of Postgres or " +
          "PostgREST, such as 22P02 for a value of the wrong type and 42501 for a missing right.",
        content: json("DataApiRefusal"),
      },
    },
    schemas: {
      Code: { type: "string", enum: codes, description: "A code of docs/errors.md." },
      Error: {
        type: "object",
        properties: {
          code: { $ref: "#/components/schemas/Code" },
          message: { type: "string", description: "For people. It has no secret." },
          correlation_id: { type: "string", description: "The id of the request in all logs." },
        },
        required: ["code", "message", "correlation_id"],
      },
      DataApiError: {
        type: "object",
        properties: {
          code: { type: "string", description: "An SQLSTATE, or a code of PostgREST." },
          message: { type: "string" },
          details: { type: ["string", "null"], description: "The code of docs/errors.md." },
          hint: { type: ["string", "null"] },
        },
        required: ["code", "message"],
        additionalProperties: false,
      },
      DataApiRefusal: {
        description: `Codes that every call can have: ${ofEveryCall.join(", ")}.`,
        allOf: [{ $ref: "#/components/schemas/DataApiError" }],
      },
      ...Object.fromEntries(
        [...enums].map(([name, values]) => [name, { type: "string", enum: values }]),
      ),
      ...Object.fromEntries(
        [...rows].map(([name, columns]) => [name, rowSchema(columns, catalogue)]),
      ),
    },
  };
}
