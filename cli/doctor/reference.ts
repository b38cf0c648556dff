import type { Entry } from "./codes.ts";

/** The table of docs/doctor.md. */
export function tableOf(codes: Record<string, Entry>): string {
  const rows = Object.entries(codes).map(([code, { severity, deployment, meaning, action }]) =>
    `| \`${code}\` | ${severity}${deployment ? " *" : ""} | ${meaning} | ${action} |`
  );
  return ["| Finding | Severity | Meaning | What to do |", "| --- | --- | --- | --- |", ...rows, ""]
    .join("\n");
}
