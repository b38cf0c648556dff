import { changedRights } from "./rights.ts";
import { created as createdBy, statementsOf, withoutLeadingComments } from "./statements.ts";

/** The change from one text of a migration to another. */
export interface Derivation {
  /** SQL that makes the change, as far as it follows from the texts. */
  statements: string[];
  /** The functions whose text is made again. */
  functions: string[];
  /** The names of the objects that are new, or dropped and made anew: they have no rights yet. */
  created: string[];
  /** Statements that appeared or went and whose effect on a present database is not known. */
  byHand: string[];
}

/** Everything that the capabilities before one make: functions by key, objects by name. */
export interface Again {
  functions: ReadonlySet<string>;
  objects: ReadonlySet<string>;
}

/** The object of a statement: two statements with one key are versions of the same. */
interface Parsed {
  kind:
    | "function"
    | "view"
    | "trigger"
    | "policy"
    | "index"
    | "comment"
    | "object"
    | "audit"
    | "other";
  key: string;
  /** The statement that takes it back; null where nobody can know. */
  undo: string | null;
  text: string;
}

const simple: [Parsed["kind"], RegExp, (match: RegExpExecArray) => string | null][] = [
  ["view", /^create (?:or replace )?view ([\w.]+)/, ([, name]) => `drop view ${name};`],
  [
    "trigger",
    /^create (?:constraint )?trigger (\w+)\s[^;]*?\bon ([\w.]+)/,
    ([, name, table]) => `drop trigger ${name} on ${table};`,
  ],
  [
    "policy",
    /^create policy ("[^"]+"|\w+)\s+on ([\w.]+)/,
    ([, name, table]) => `drop policy ${name} on ${table};`,
  ],
  [
    "index",
    /^create (?:unique )?index (\w+)\s+on (\w+)\./,
    ([, name, schema]) => `drop index ${schema}.${name};`,
  ],
  ["comment", /^comment on ([^']*?)\s+is\b/, () => ""],
  ["object", /^create (?:unlogged )?(table|type|sequence|schema|domain) ([\w.]+)/, () => null],
  [
    "audit",
    /^select bulwark\.enable_audit\(\s*'([\w.]+)'/,
    ([, table]) => `select bulwark.disable_audit('${table}');`,
  ],
];

/**
 * Derives a release migration from the texts of a capability's migration before and after. Functions,
 * views, triggers, policies, indexes, comments, new objects and audited tables follow from the texts;
 * changed tables and types, and rows, do not. `again` is what capabilities before this one make
 * again: what replaces it here, and the rights on it, follow although they did not change.
 */
export function derive(
  before: string,
  after: string,
  again: Again = { functions: new Set(), objects: new Set() },
): Derivation {
  const old = parsedByKey(before);
  const present = parsedByKey(after);
  const drops: string[] = [];
  const statements: string[] = [];
  const functions: string[] = [];
  const created: string[] = [];
  const gone = new Set<string>();
  const byHand: string[] = [];
  for (const [key, parsed] of [...old].reverse()) {
    if (present.has(key) || parsed.undo === "") continue;
    if (parsed.undo === null) byHand.push(`gone: ${firstLine(parsed.text)}`);
    else drops.push(parsed.undo);
    gone.add(nameOf(parsed));
  }
  for (const [key, parsed] of present) {
    const known = old.get(key);
    if (known && essence(known) === essence(parsed) && !again.functions.has(key)) continue;
    if (parsed.kind === "function") functions.push(key);
    if (!known) {
      if (isRow(parsed)) byHand.push(`new: ${firstLine(parsed.text)}`);
      else statements.push(parsed.text);
      created.push(nameOf(parsed));
      continue;
    }
    switch (parsed.kind) {
      case "function":
        if (mustBeDropped(known.text, parsed.text)) {
          drops.push(known.undo!);
          created.push(nameOf(parsed));
        }
        statements.push(parsed.text.replace(/^create function/, "create or replace function"));
        break;
      case "view":
        statements.push(parsed.text.replace(/^create view/, "create or replace view"));
        break;
      case "trigger": {
        // Replacing a trigger makes it an ordinary one: "always" is said again.
        const [, name] = /trigger (\w+)/.exec(parsed.text)!;
        const modes = [...present.values()].filter(({ text }) =>
          new RegExp(`^alter table .* enable always trigger ${name};`).test(text)
        );
        statements.push(known.undo!, parsed.text, ...modes.map(({ text }) => text));
        break;
      }
      case "policy":
      case "index":
        statements.push(known.undo!, parsed.text);
        break;
      case "comment":
      case "audit":
        statements.push(parsed.text);
        break;
      default:
        byHand.push(`changed: ${firstLine(parsed.text)}`);
    }
  }
  const made = new Set(created);
  const isNew = (object: string) => made.has(object) || again.objects.has(object);
  // An object that is gone took its rights along, unless another one has its name now.
  const isGone = (object: string) => gone.has(object) && !made.has(object);
  const rights = changedRights(before, after, isNew).filter((text) =>
    !(text.startsWith("revoke") && isGone(/ on \w+ ([\w.]+)/.exec(text)?.[1] ?? ""))
  );
  statements.push(...rights);
  return { statements: [...drops, ...statements], functions, created, byHand };
}

/** The name of an object with rights that a statement creates, without arguments; else empty. */
function nameOf({ kind, key }: Parsed): string {
  if (!["function", "view", "object"].includes(kind)) return "";
  return /^\w+ (?:\w+ )?([\w.]+)/.exec(key)?.[1] ?? "";
}

/** Rows, and what else a migration does once: its repetition is no part of the schema. */
function isRow({ kind, text }: Parsed): boolean {
  return kind === "other" && !/^(alter|create) /.test(text);
}

/** The statements of every upgrade (upgrade.ts), which are no change. */
const always = new RegExp(
  "^(insert into bulwark_private\\.capabilities|select (bulwark\\.refresh_audit_fingerprints|" +
    "bulwark\\.schedule_jobs|bulwark_private\\.remember_privileges)\\(\\)|" +
    "do \\$\\$\\s+begin\\s+if to_regprocedure\\('bulwark\\.close_privileges)",
);

function parsedByKey(sql: string): Map<string, Parsed> {
  const found = new Map<string, Parsed>();
  for (const text of bodies(sql)) {
    if (/^(grant|revoke) /.test(text) || always.test(text)) continue;
    const parsed = parse(text);
    found.set(parsed.key, parsed);
  }
  return found;
}

function bodies(sql: string): string[] {
  return statementsOf(sql).map((statement) => withoutLeadingComments(statement));
}

function parse(text: string): Parsed {
  const object = createdBy(text);
  if (object?.kind === "function") {
    const key = `function ${object.name}`;
    return { kind: "function", key, undo: `drop ${key};`, text };
  }
  for (const [kind, pattern, undo] of simple) {
    const match = pattern.exec(text);
    if (match) {
      const key = `${kind} ${match.slice(1).map(normalized).join(" ")}`;
      return { kind, key, undo: undo(match), text };
    }
  }
  return { kind: "other", key: normalized(text), undo: null, text };
}

/** Whether `create or replace` refuses the change: another result, or a default less. */
function mustBeDropped(before: string, after: string): boolean {
  const [one, other] = [before, after].map((text) => {
    const head = normalized(text.slice(0, text.search(/\n\s*as\s+(\$|')/)));
    const defaults = head.match(/ default | = /g)?.length ?? 0;
    return { defaults, returns: /\) returns (.*?) language /.exec(head)?.[1] };
  });
  return one!.returns !== other!.returns || one!.defaults > other!.defaults;
}

/** The part of a statement that reaches the database: a body and a comment with their blanks. */
function essence({ kind, text }: Parsed): string {
  if (kind === "function" || kind === "comment") return text.trim();
  return normalized(text.replace(/(^|\s)--[^\n]*/g, ""));
}

function normalized(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}

function firstLine(text: string): string {
  return text.split("\n")[0]!.trim();
}
