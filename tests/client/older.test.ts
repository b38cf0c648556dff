/** The client of the newest version that is frozen, against the present stack. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { gunzipSync } from "node:zlib";
import { bundleJourney } from "../../scripts/building/client/journey.ts";
import { frozenFolder, frozenVersions } from "../../scripts/building/releases.ts";
import { inRepository } from "../../scripts/stack/paths.ts";
import { makePlace, supabaseWith } from "./support.ts";

const newest = (await frozenVersions()).at(-1);

Deno.test(`CLIENT-E22: the client of ${newest} makes all its calls`, async () => {
  const frozen = inRepository(`${frozenFolder}/${newest}/client.js.gz`);
  const older = gunzipSync(await Deno.readFile(frozen)).toString("utf8");
  // The present client makes them in another test.
  if (older === await bundleJourney()) return;
  const { createBulwark, journey } = await import(
    `data:text/javascript;base64,${Buffer.from(older).toString("base64")}`
  );
  const receiver = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => new Response(null, { status: 204 }),
  );
  try {
    const place = await makePlace(`http://127.0.0.1:${receiver.addr.port}/`);
    const recorded = await journey({ createBulwark, connect: supabaseWith }, place);
    assert.ok(recorded.length > 200, `only ${recorded.length} calls`);
  } finally {
    await receiver.shutdown();
  }
});
