/** `npm run openapi`: writes docs/openapi.json, from the declared operations and a migrated database. */
import { documentPath, openApiDocument } from "./building/openapi/document.ts";
import { parseArguments } from "./stack/arguments.ts";
import { connect } from "./stack/connection.ts";
import { main } from "./stack/main.ts";
import { inRepository } from "./stack/paths.ts";
import { testClusters } from "./testing/clusters.ts";

await main(async () => {
  parseArguments({}, "npm run openapi");
  const clusters = testClusters();
  try {
    const sql = connect((await clusters.embedded()).url("postgres"));
    try {
      await Deno.writeTextFile(inRepository(documentPath), await openApiDocument(sql));
    } finally {
      await sql.end();
    }
  } finally {
    await clusters.stop();
  }
});
