#!/usr/bin/env node
/** `npx bulwark`. */
import process from "node:process";
import { CliError } from "./errors.ts";
import { main, report } from "./main.ts";

// A file is never left half-written: applyPlan does not pause, so signals wait until it is done.
process.on("SIGINT", () => process.exit(130));
process.on("SIGTERM", () => process.exit(143));

// A reader that has gone, or a full disk.
process.stdout.on("error", (thrown: NodeJS.ErrnoException) => {
  if (thrown.code === "EPIPE") process.exit(2);
  const message = `Cannot write the output: ${thrown.code}`;
  process.exit(report(new CliError("CLI_OUTPUT_FAILED", message, 2)));
});
process.stderr.on("error", () => process.exit(2));

process.exitCode = await main(process.argv.slice(2));
