/** The client of the newest version that is frozen, against the present stack. */
import { Buffer } from "node:buffer";
import { gunzipSync } from "node:zlib";
import { bundleJourney } from "../../scripts/building/client/journey.ts";
import { frozenFolder, frozenVersions } from "../../scripts/building/releases.ts";
import { exists } from "../../scripts/stack/binaries.ts";
import { inRepository } from "../../scripts/stack/paths.ts";
import { makePlace, supabaseWith } from "./support.ts";

const newest = (await frozenVersions()).at(-1);
const frozen = inRepository(`${frozenFolder}/${newest}/client.js.gz`);
const older = exists(frozen) ? gunzipSync(await Deno.readFile(frozen)).toString("utf8") : null;

Deno.test({
  name: `CLIENT-E06: the client of ${newest} makes all its calls`,
  // The present client makes them in another test.
  ignore: older === null || older === await bundleJourney(),
  async fn() {
    const { createBulwark, journey } = await import(
      `data:text/javascript;base64,${Buffer.from(older!).toString("base64")}`
    );
    const receiver = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      () => new Response(null, { status: 204 }),
    );
    try {
      const place = await makePlace(`http://127.0.0.1:${receiver.addr.port}/`);
      const recorded = await journey({ createBulwark, connect: supabaseWith }, place);
      if (recorded.length < 200) throw new Error(`only ${recorded.length} calls`);
    } finally {
      await receiver.shutdown();
    }
  },
});
