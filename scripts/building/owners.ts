import { inRepository } from "../stack/paths.ts";
import { filesBelow } from "../testing/selection.ts";
import { capabilities, start } from "./capabilities.ts";
import { schemas } from "./migrations.ts";
import { statementsOf, withoutLeadingComments } from "./statements.ts";

const created =
  /^create (?:or replace )?(?:unlogged )?(?:materialized )?(?:table|view|function|type|sequence|domain|procedure) (bulwark(?:_private)?\.\w+)/;
const catalogues =
  /^insert into bulwark\.(?:settings|security_event_types|audit_event_types|permissions|rate_limit_rules)\b/;

/** The objects (with their schema) and rows (in quotes) that a file of the sources makes and names. */
export interface Source {
  path: string;
  /** The place of its capability in the order of installation. */
  place: number;
  made: string[];
  named: string[];
}

/** The sources without comments, in the order of installation. */
export async function readSources(): Promise<Source[]> {
  const order = [...capabilities, start].map(({ folder }) => folder);
  const found: Source[] = [];
  for (const path of await filesBelow(schemas, ".sql")) {
    const statements = statementsOf(await Deno.readTextFile(inRepository(path)))
      .map(withoutLeadingComments)
      .filter((statement) => !statement.startsWith("comment on"));
    const text = statements.join("\n").replaceAll(/--[^\n]*/g, "");
    const rows = statements.filter((statement) => catalogues.test(statement))
      .flatMap((statement) => [...statement.matchAll(/\(\s*'([\w.:]+)'/g)]);
    found.push({
      path,
      place: order.indexOf(path.split("/")[2] ?? ""),
      made: [
        ...statements.flatMap((statement) => created.exec(statement)?.[1] ?? []),
        ...rows.map(([, name]) => `'${name}'`),
      ],
      named: [...new Set(text.match(/bulwark(?:_private)?\.\w+|'[\w.:]+'/g))],
    });
  }
  return found;
}

/** The place in the order of installation where each object or row is made first. */
export function placesOf(sources: Source[]): Map<string, number> {
  const found = new Map<string, number>();
  for (const { made, place } of sources) {
    for (const name of made) found.set(name, Math.min(place, found.get(name) ?? place));
  }
  return found;
}
