/**
 * The signed statement at the end of an export: its range, totals and the digest of its bytes. It
 * is a C2SP signed note by the log's own keys under another name. Its text cannot be a checkpoint,
 * because the second line is not a number.
 * @see https://c2sp.org/signed-note
 */
import { toBase64 } from "../foundation/bytes.ts";
import { fromBase64 } from "./encoding.ts";
import { NoteError, openNote, type Signer, signNote, type VerifierKey } from "./note.ts";

/** Range and totals of an export. */
export interface ExportStatement {
  /** The log's name, as in its checkpoints. */
  origin: string;
  organization: string | null;
  /** The cursor that the export continues from; null: the beginning of the log. */
  after: string | null;
  /** The cursor at its end; null if it is empty and starts at the beginning. */
  cursor: string | null;
  /** Whether nothing more was available. */
  isEnd: boolean;
  entries: number;
  groups: number;
  /** The hash of the last group, 32 bytes; all groups before are chained to it. */
  lastGroup: Uint8Array | null;
  /** The size and root of the tree that the last proof leads to. */
  tree: { size: number; root: Uint8Array } | null;
  /** Number of bytes before the statement's line, and their SHA-256. */
  bytes: number;
  digest: Uint8Array;
}

const title = "bulwark audit export 1";
const suffix = "/export";
const line = /^([a-z0-9]+) (.+)$/;
const names = [
  "log",
  "organization",
  "after",
  "cursor",
  "end",
  "entries",
  "groups",
  "last",
  "tree",
  "bytes",
  "sha256",
] as const;

/** The same key under the name that signs exports, so that the two kinds of notes cannot be confused. */
export function exportKey<Key extends VerifierKey>(key: Key): Key {
  return { ...key, name: `${key.name}${suffix}` };
}

/** Signs a statement with each key of the log. */
export function signStatement(
  statement: ExportStatement,
  signers: readonly Signer[],
): Promise<string> {
  return signNote(formatStatement(statement), signers.map(exportKey));
}

/**
 * The statement of a note that a key of the log signed.
 * @throws NoteError as {@link openNote}
 */
export async function openStatement(
  note: string,
  keys: readonly VerifierKey[],
): Promise<ExportStatement> {
  const { text, signedBy } = await openNote(note, keys.map(exportKey));
  const statement = parseStatement(text);
  if (!signedBy.some(({ name }) => name === `${statement.origin}${suffix}`)) {
    throw new NoteError("unknown_key", `no key given signs for ${statement.origin}`);
  }
  return statement;
}

/** A statement as the text of a note. */
export function formatStatement(statement: ExportStatement): string {
  const { tree, lastGroup } = statement;
  const values: Record<typeof names[number], string | number> = {
    log: statement.origin,
    organization: statement.organization ?? "none",
    after: statement.after ?? "beginning",
    cursor: statement.cursor ?? "beginning",
    end: statement.isEnd ? "yes" : "no",
    entries: statement.entries,
    groups: statement.groups,
    last: lastGroup ? toBase64(lastGroup) : "none",
    tree: tree ? `${tree.size} ${toBase64(tree.root)}` : "none",
    bytes: statement.bytes,
    sha256: toBase64(statement.digest),
  };
  return `${title}\n${names.map((name) => `${name} ${values[name]}\n`).join("")}`;
}

/**
 * Parses a statement.
 * @throws NoteError malformed if it is not exactly as {@link formatStatement} writes it
 */
export function parseStatement(text: string): ExportStatement {
  const values = new Map(
    text.split("\n").slice(1, -1).map((each) => {
      const [, name = "", value = ""] = line.exec(each) ?? [];
      return [name, value];
    }),
  );
  const value = (name: typeof names[number]) => values.get(name) ?? "";
  const optional = (name: typeof names[number], absent: string) =>
    value(name) === absent ? null : value(name);
  try {
    const [size, root] = value("tree").split(" ");
    const statement: ExportStatement = {
      origin: value("log"),
      organization: optional("organization", "none"),
      after: optional("after", "beginning"),
      cursor: optional("cursor", "beginning"),
      isEnd: value("end") === "yes",
      entries: Number(value("entries")),
      groups: Number(value("groups")),
      lastGroup: value("last") === "none" ? null : fromBase64(value("last"), "last", 32),
      tree: value("tree") === "none"
        ? null
        : { size: Number(size), root: fromBase64(root, "tree", 32) },
      bytes: Number(value("bytes")),
      digest: fromBase64(value("sha256"), "sha256", 32),
    };
    const { entries, groups, bytes, tree } = statement;
    const areNumbers = [entries, groups, bytes, tree?.size ?? 0]
      .every((number) => Number.isSafeInteger(number) && number >= 0);
    // Each statement has one form: formatting it again must give the same text.
    if (areNumbers && formatStatement(statement) === text) return statement;
  } catch {
    // Reported below.
  }
  throw new NoteError("malformed", "the note is not the statement of an export");
}
