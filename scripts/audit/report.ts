import { outcomeOf, type Verdict } from "../../clients/js/src/audit/verdict.ts";

/** 0 if every requested entry is proved, 1 if something is wrong, 2 otherwise. */
export function exitCode(verdict: Pick<Verdict, "findings" | "unproved">): number {
  return { intact: 0, altered: 1, unproved: 2 }[outcomeOf(verdict)];
}

/** A verdict as lines for people: what was verified, what was not, and what is wrong. */
export function reportLines(verdict: Verdict, seconds: number): string[] {
  const { entries, covered, findings, unproved } = verdict;
  const rate = number(Math.round(entries / Math.max(seconds, 0.001)));
  const lines = [
    headline(verdict),
    ...[...findings, ...unproved].slice(0, 20).map(({ code, message }) => `  ${code}: ${message}`),
  ];
  const more = findings.length + unproved.length + verdict.more - 20;
  if (more > 0) lines.push(`  and ${number(more)} more`);
  lines.push(
    `  ${number(entries)} entries in ${number(verdict.groups)} seals of ` +
      `${verdict.organization ?? "no organization"}, ${seconds.toFixed(1)} s (${rate}/s)`,
    `  exported at ${verdict.exportedAt}; what came later, or was hidden then, is not in it`,
  );
  if (verdict.sealed && outcomeOf(verdict) === "intact") {
    lines.push(`  its last entry was sealed at ${verdict.sealed.last}`);
  }
  if (verdict.signers.length > 0) lines.push(`  signed by ${verdict.signers.join(", ")}`);
  if (verdict.treeSize !== null) {
    const size = number(verdict.treeSize);
    lines.push(`  ${number(covered)} entries covered by the checkpoint over ${size} seals`);
  }
  if (verdict.payloadsRemoved > 0) {
    lines.push(`  ${number(verdict.payloadsRemoved)} payloads removed by retention or erasure`);
  }
  for (const note of verdict.notes) lines.push(`  ${note}`);
  return lines;
}

function headline(verdict: Verdict): string {
  return {
    intact: "The log is intact.",
    altered: "The log is NOT intact.",
    unproved: "Not proved to be intact.",
  }[outcomeOf(verdict)];
}

function number(value: number): string {
  return value.toLocaleString("en-US");
}
