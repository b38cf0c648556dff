/**
 * The signed statement under a compliance report: whose it is, its range, the entry of the log that
 * records it, and the digest of its bytes. It is a C2SP signed note by the log's own keys under
 * another name, so that it can be taken neither for a checkpoint nor for the end of an export.
 * @see https://c2sp.org/signed-note
 */
import { createHash } from "node:crypto";
import { NoteError, openNote, type Signer, signNote, type VerifierKey } from "../audit/note.ts";

/** The content of a statement. */
export interface ReportStatement {
  /** The log's name, as in its checkpoints. */
  origin: string;
  organization: string;
  since: string;
  until: string;
  /** The entry of the log that records the report. */
  entry: string;
  /** Number of bytes of the report's line, without its newline, and their SHA-256 in hexadecimal. */
  bytes: number;
  sha256: string;
}

const title = "bulwark compliance report 1";
const suffix = "/report";
const names = ["log", "organization", "since", "until", "entry", "bytes", "sha256"] as const;

/** SHA-256 in hexadecimal. */
export function sha256Hex(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Signs a statement with each key of the log. */
export function signReport(
  statement: ReportStatement,
  signers: readonly Signer[],
): Promise<string> {
  return signNote(formatReportStatement(statement), signers.map(reportKey));
}

/**
 * The statement of a note that a key of the log signed.
 * @throws NoteError as {@link openNote}; malformed if the note is no such statement; unknown_key also
 *   if the key belongs to another log
 */
export async function openReportStatement(
  note: string,
  keys: readonly VerifierKey[],
): Promise<ReportStatement> {
  const { text, signedBy } = await openNote(note, keys.map(reportKey));
  const statement = parseReportStatement(text);
  if (!signedBy.some(({ name }) => name === `${statement.origin}${suffix}`)) {
    throw new NoteError("unknown_key", `no key given signs for ${statement.origin}`);
  }
  return statement;
}

function reportKey<Key extends VerifierKey>(key: Key): Key {
  return { ...key, name: `${key.name}${suffix}` };
}

function formatReportStatement(statement: ReportStatement): string {
  const values: Record<typeof names[number], string | number> = {
    log: statement.origin,
    organization: statement.organization,
    since: statement.since,
    until: statement.until,
    entry: statement.entry,
    bytes: statement.bytes,
    sha256: statement.sha256,
  };
  return `${title}\n${names.map((name) => `${name} ${values[name]}\n`).join("")}`;
}

function parseReportStatement(text: string): ReportStatement {
  const values = new Map(
    text.split("\n").slice(1, -1).map((line) => {
      const space = line.indexOf(" ");
      return [line.slice(0, space), line.slice(space + 1)];
    }),
  );
  const value = (name: typeof names[number]) => values.get(name) ?? "";
  const statement: ReportStatement = {
    origin: value("log"),
    organization: value("organization"),
    since: value("since"),
    until: value("until"),
    entry: value("entry"),
    bytes: Number(value("bytes")),
    sha256: value("sha256"),
  };
  // Each statement has one form: formatting it again must give the same text.
  if (Number.isSafeInteger(statement.bytes) && formatReportStatement(statement) === text) {
    return statement;
  }
  throw new NoteError("malformed", "the note is not the statement of a compliance report");
}
