import { statementsOf, withoutLeadingComments } from "./statements.ts";

/** One privilege statement for one object and one role. */
export interface Right {
  kind: "grant" | "revoke";
  /** The object's name, without arguments: all overloads are alike. */
  object: string;
  text: string;
  /** The statement that takes a grant back. */
  undo: string;
}

/** All grants and revocations of a text, each for one object and one role, in their order. */
export function rightsOf(sql: string): Right[] {
  return statementsOf(sql).flatMap((statement) => {
    const text = withoutLeadingComments(statement).replace(/(^|\s)--[^\n]*/g, "")
      .replace(/\s+/g, " ").trim();
    const match =
      /^(grant|revoke) (.+?) on (?:(function|table|sequence|schema|type) )?(.+) (?:to|from) ([\w, ]+);$/
        .exec(text);
    if (!match) return [];
    const [, kind, privileges, type = "table", objects, roles] = match;
    return listed(objects!).flatMap((object) =>
      listed(roles!).map((role): Right => {
        const on = `${privileges} on ${type} ${object}`;
        const undo = `revoke ${on} from ${role};`;
        return {
          kind: kind as Right["kind"],
          object: object.replace(/\(.*$/, ""),
          text: kind === "grant" ? `grant ${on} to ${role};` : undo,
          undo,
        };
      })
    );
  });
}

/**
 * The statements that change rights: for objects that are made anew all of them, for others only the
 * difference, so that what others were granted on them stays.
 */
export function changedRights(
  before: string,
  after: string,
  isNew: (object: string) => boolean,
): string[] {
  const [old, present] = [rightsOf(before), rightsOf(after)];
  const known = new Set(old.map(({ text }) => text));
  const kept = new Set(present.map(({ text }) => text));
  return [
    ...old.filter((right) =>
      right.kind === "grant" && !kept.has(right.text) && !isNew(right.object)
    )
      .map(({ undo }) => undo),
    ...present.filter(({ text, object }) => isNew(object) || !known.has(text))
      .map(({ text }) => text),
  ];
}

/** Splits at commas outside of parentheses. */
function listed(text: string): string[] {
  return text.split(/,(?![^()]*\))/).map((part) => part.trim());
}
