import {
  NoteError,
  openCheckpoint,
  type VerifierKey,
} from "../../supabase/functions/_bulwark/audit/note.ts";
import {
  openReportStatement,
  type ReportStatement,
  sha256Hex,
} from "../../supabase/functions/_bulwark/compliance/statement.ts";
import { Failure } from "../stack/failure.ts";
import type { Report, ShownReport } from "./shapes.ts";

/** A report that was read, and what can be said of it. */
export interface CheckedReport extends ShownReport {
  /** 0: proved; 1: altered; 2: not proved. */
  verdict: 0 | 1 | 2;
  lines: string[];
}

/**
 * Reads a report, and checks with the keys that one of them signed exactly these bytes, that the
 * statement is about this report, and that the checkpoint in it was signed too. Without keys nothing
 * is checked but the form.
 * @throws Failure NO_REPORT if the text is none
 */
export async function checkReport(
  text: string,
  keys: readonly VerifierKey[] | null,
  organization: string | null,
): Promise<CheckedReport> {
  const { line, report, note } = parse(text);
  const bytes = new TextEncoder().encode(line);
  const sha256 = sha256Hex(bytes);
  const found = { report, sha256, note, verdict: 2 as const, lines: [] as string[] };
  if (note === null) return { ...found, lines: ["Not proved: the report is not signed."] };
  if (keys === null) return { ...found, lines: ["Not proved: no key was given."] };
  let statement: ReportStatement;
  try {
    statement = await openReportStatement(note, keys);
  } catch (thrown) {
    if (!(thrown instanceof NoteError)) throw thrown;
    const isForged = thrown.problem === "bad_signature";
    return {
      ...found,
      verdict: isForged ? 1 : 2,
      lines: [isForged ? "The report is NOT as signed." : "Not proved.", `  ${thrown.message}`],
    };
  }
  const problems = [
    ...statement.bytes === bytes.length && statement.sha256 === sha256
      ? []
      : ["its bytes are not those that were signed"],
    ...agrees(statement, report) ? [] : ["the statement is about another report"],
    ...organization === null || organization === statement.organization
      ? []
      : [`it is about the organization ${statement.organization}`],
    ...await checkpointProblems(report, keys),
  ];
  if (problems.length > 0) {
    const lines = ["The report is NOT as signed.", ...problems.map((each) => `  ${each}`)];
    return { ...found, verdict: 1, lines };
  }
  return { ...found, verdict: 0, lines: summary(statement, report) };
}

function summary(statement: ReportStatement, { organization, verification }: Report): string[] {
  const { checkpoint } = verification;
  return [
    "The report is as signed.",
    `  log           ${statement.origin}`,
    `  organization  ${statement.organization} (${organization.name})`,
    `  range         ${statement.since} to ${statement.until}`,
    `  entry         ${statement.entry}, which records it in the log`,
    `  sha256        ${statement.sha256}`,
    checkpoint
      ? `  checkpoint    ${checkpoint.tree_size} seals, signed at ${checkpoint.signed_at}`
      : "  checkpoint    none: the log was not signed yet",
  ];
}

function agrees(statement: ReportStatement, report: Report): boolean {
  return statement.organization === report.organization.id && statement.since === report.since &&
    statement.until === report.until && statement.entry === report.entry;
}

/** The checkpoint comes from the database, so only its own signature says anything. */
async function checkpointProblems(
  { verification: { checkpoint } }: Report,
  keys: readonly VerifierKey[],
): Promise<string[]> {
  if (!checkpoint) return [];
  try {
    const { size } = await openCheckpoint(checkpoint.note, keys);
    return size === checkpoint.tree_size ? [] : ["its checkpoint is of another size"];
  } catch (thrown) {
    if (!(thrown instanceof NoteError)) throw thrown;
    return [`its checkpoint is not signed by the keys given: ${thrown.message}`];
  }
}

function parse(text: string): { line: string; report: Report; note: string | null } {
  const [line = "", last = "", ...rest] = text.split("\n");
  try {
    const report = JSON.parse(line);
    const { type, note } = JSON.parse(last);
    const isReport = report?.kind === "bulwark compliance report" && report.format === 1;
    const isStatement = type === "statement" && (note === null || typeof note === "string");
    if (isReport && isStatement && rest.join("") === "") return { line, report, note };
  } catch {
    // Reported below.
  }
  throw new Failure("NO_REPORT", "Cannot read the report: the file is no compliance report", 2);
}
