import type { TestTask } from "../testing/result.ts";
import { migrationsAreBuilt } from "../building/migrations.ts";
import type { TestClusters } from "../testing/clusters.ts";
import { advisors } from "./advisors.ts";
import { deployment } from "./deployment.ts";
import { formatting, linting, typesOnCurrentDeno, typesOnHostedDeno } from "./deno.ts";
import { generatedTypes } from "./generated_types.ts";
import { plpgsql } from "./plpgsql.ts";
import { migrationLint } from "./squawk.ts";
import {
  typesOfClient,
  typesOfCommand,
  typesOfConsole,
  typesOfCopies,
  typesOfSample,
} from "./tsc.ts";

/** Everything that `npm run check` looks at, in the order of what a mistake costs to find later. */
export function checks(clusters: TestClusters): TestTask[] {
  return [
    { kind: "check", name: "migrations are built", run: migrationsAreBuilt },
    { kind: "check", name: "types, current Deno", run: typesOnCurrentDeno },
    { kind: "check", name: "types of functions, hosted Deno", run: typesOnHostedDeno },
    { kind: "check", name: "types of what is copied, tsc", run: typesOfCopies },
    { kind: "check", name: "types of the command, tsc", run: typesOfCommand },
    { kind: "check", name: "types of the client, tsc", run: typesOfClient },
    { kind: "check", name: "types of the sample app, tsc", run: typesOfSample },
    { kind: "check", name: "types of the console, tsc", run: typesOfConsole },
    { kind: "check", name: "deno lint", run: linting },
    { kind: "check", name: "deno fmt", run: formatting },
    { kind: "check", name: "files of deploy", run: deployment },
    { kind: "check", name: "squawk", run: migrationLint },
    { kind: "check", name: "supabase db advisors", run: () => advisors(clusters) },
    { kind: "check", name: "generated types are current", run: () => generatedTypes(clusters) },
    { kind: "check", name: "plpgsql_check", run: () => plpgsql(clusters) },
  ];
}
