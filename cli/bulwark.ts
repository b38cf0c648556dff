#!/usr/bin/env node
/** `npx bulwark`. */
import process from "node:process";
import { main } from "./main.ts";

// A file is never left half-written: applyPlan does not pause, so signals wait until it is done.
process.on("SIGINT", () => process.exit(130));
process.on("SIGTERM", () => process.exit(143));

process.exitCode = await main(process.argv.slice(2));
