import { inRepository } from "../stack/paths.ts";
import type { TestResult } from "../testing/result.ts";
import { runTool } from "./command.ts";

/** TypeScript 7, which takes a sixth of the time of 5; the client's package is checked with both. */
export const tsc = inRepository("node_modules", "typescript-7", "bin", "tsc");

/** Files that others copy into their programs. Their one dependency is standardwebhooks. */
const copied = ["clients/js/src/api_key.ts", "supabase/functions/_bulwark/webhooks/verify.ts"];

/** The types that a program may have: of a browser, of Node, of both. */
const surroundings = [
  // A folder without folders, so without packages: no types but those of the browser.
  ["--lib", "ES2022,DOM", "--typeRoots", inRepository("scripts", "checking")],
  ["--lib", "ES2022", "--types", "node"],
  ["--lib", "ES2022,DOM", "--types", "node"],
];

/** Checks copied files with tsc's strictest options, which differ from Deno's. */
export async function typesOfCopies(): Promise<TestResult> {
  const results: TestResult[] = [];
  for (const types of surroundings) {
    results.push(
      await runTool("node", [
        tsc,
        ...["--noEmit", "--strict", "--target", "ES2022", "--module", "NodeNext"],
        ...["--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess", "--noImplicitOverride"],
        ...["--noImplicitReturns", "--noPropertyAccessFromIndexSignature", "--noUnusedLocals"],
        ...[
          "--noUnusedParameters",
          "--isolatedModules",
          "--verbatimModuleSyntax",
          "--skipLibCheck",
        ],
        ...types,
        ...copied.map((path) => inRepository(path)),
      ]),
    );
  }
  return together(results);
}

function together(results: TestResult[]): TestResult {
  return {
    passed: results.reduce((sum, { passed }) => sum + passed, 0),
    failures: results.flatMap(({ failures }) => failures),
  };
}

/** The command is free of type errors where it runs: on Node. */
export function typesOfCommand(): Promise<TestResult> {
  return checkProject("cli");
}

/** The client library is free of type errors under its own strict options. */
export async function typesOfClient(): Promise<TestResult> {
  return together([
    await checkProject("clients", "js"),
    await checkProject("clients", "js", "tsconfig.audit.json"),
  ]);
}

/** The sample app is free of type errors. */
export function typesOfSample(): Promise<TestResult> {
  return checkProject("examples", "app");
}

/** The console is free of type errors. */
export function typesOfConsole(): Promise<TestResult> {
  return checkProject("console");
}

function checkProject(...path: string[]): Promise<TestResult> {
  return runTool("node", [tsc, "--noEmit", "-p", inRepository(...path)]);
}
