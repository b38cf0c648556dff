/** The registry of the console's components at `/r/`, built of the sources as they are. */
import { problem, type Route } from "./server.ts";

/** Serves `/r/registry.json` and `/r/<block>.json`. */
export function serveBlocks(): Route {
  return {
    prefix: "/r/",
    async fetch(request) {
      const name = /^\/r\/([a-z-]+)\.json$/.exec(new URL(request.url).pathname)?.[1];
      if (!name || !/^(GET|HEAD)$/.test(request.method)) return missing();
      // Loaded when it is needed: it brings the compiler along.
      const { builtRegistry } = await import("../building/blocks/mod.ts");
      const { index, items } = await builtRegistry();
      const found = name === "registry" ? index : items.get(name);
      return found ? Response.json(found, { headers }) : missing();
    },
  };
}

const headers = { "cache-control": "no-cache", "x-content-type-options": "nosniff" };
const missing = () => problem(404, "NOT_FOUND", "No such path");
