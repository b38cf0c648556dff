import type { Finding } from "./finding.ts";

/** The answer of `--json`. The shape is stable for one `format`; later ones add fields. */
export interface Report {
  format: 1;
  /** host:port/database, without user and password. */
  database: string;
  /** Whether the database was judged as a local one, where steps of a deployment are notes. */
  local: boolean;
  findings: Finding[];
  summary: { error: number; warning: number; note: number };
  /** No error and no warning. */
  clean: boolean;
}

const order = ["error", "warning", "note"] as const;

/** Sorts findings, errors first, and counts them. */
export function reportOf(database: string, local: boolean, findings: Finding[]): Report {
  const sorted = order.flatMap((severity) => findings.filter((one) => one.severity === severity));
  const count = (severity: Finding["severity"]) =>
    findings.filter((one) => one.severity === severity).length;
  const summary = { error: count("error"), warning: count("warning"), note: count("note") };
  const clean = summary.error + summary.warning === 0;
  return { format: 1, database, local, findings: sorted, summary, clean };
}

/** The report for people. */
export function textOf({ database, local, findings, summary, clean }: Report): string {
  const lines = [`Bulwark in ${database}${local ? ", a local database" : ""}`, ""];
  for (const { code, severity, message, action } of findings) {
    lines.push(`${severity.padEnd(8)} ${code}`, `         ${printable(message)}`);
    lines.push(`         -> ${action}`, "");
  }
  const { error, warning, note } = summary;
  lines.push(
    clean
      ? `Clean: no errors and no warnings, ${plural(note, "note")}`
      : `${plural(error, "error")}, ${plural(warning, "warning")}, ${plural(note, "note")}`,
  );
  return lines.join("\n") + "\n";
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** Names come from the database: control characters would reach the terminal. */
function printable(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, "?");
}
