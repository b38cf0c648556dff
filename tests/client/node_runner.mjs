/**
 * The journey on Node, with the built package and the parts of supabase-js that it needs: Node 20 has
 * no WebSocket, without which `createClient` throws. The place comes on stdin, answers go to stdout.
 */
import process from "node:process";
import { createBulwark } from "@bulwark/client";
import { FunctionsClient } from "@supabase/functions-js";
import { PostgrestClient } from "@supabase/postgrest-js";
import { journey } from "./journey.mjs";

let text = "";
for await (const chunk of process.stdin) text += chunk;
const place = JSON.parse(text);

function connect(token) {
  const headers = { apikey: place.publishableKey, authorization: `Bearer ${token}` };
  const rest = new PostgrestClient(`${place.url}/rest/v1`, { headers });
  return {
    rpc: (...args) => rest.rpc(...args),
    from: (...args) => rest.from(...args),
    schema: (name) => rest.schema(name),
    functions: new FunctionsClient(`${place.url}/functions/v1`, { headers }),
  };
}

process.stdout.write(JSON.stringify(await journey({ createBulwark, connect }, place)));
