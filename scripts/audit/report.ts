import type { Verdict } from "./verdict.ts";

/** A verdict as lines for people: what was verified, what not, and what is wrong, first things first. */
export function reportLines(verdict: Verdict, seconds: number): string[] {
  const { entries, covered, unverifiable } = verdict;
  const chained = entries - covered - unverifiable;
  const rate = number(Math.round(entries / Math.max(seconds, 0.001)));
  const lines = [
    verdict.findings.length === 0 ? "The log is intact." : "The log is NOT intact.",
    ...verdict.findings.slice(0, 20).map(({ code, message }) => `  ${code}: ${message}`),
  ];
  if (verdict.findings.length > 20) {
    lines.push(`  and ${number(verdict.findings.length - 20)} findings more`);
  }
  lines.push(
    `  ${number(entries)} entries in ${number(verdict.groups)} seals of ` +
      `${verdict.organization ?? "no organization"}, ${seconds.toFixed(1)} s (${rate}/s)`,
  );
  if (verdict.treeSize !== null) {
    lines.push(
      `  ${number(covered)} entries covered by the checkpoint over ${
        number(verdict.treeSize)
      } seals`,
    );
  }
  if (chained > 0) lines.push(`  ${number(chained)} entries not yet covered by a checkpoint`);
  if (unverifiable > 0) {
    lines.push(`  ${number(unverifiable)} entries of a seal that the bundle holds only in part`);
  }
  if (verdict.payloadsRemoved > 0) {
    lines.push(`  ${number(verdict.payloadsRemoved)} payloads removed by retention or erasure`);
  }
  if (verdict.next !== null) lines.push(`  The bundle is not the end: go on at ${verdict.next}`);
  for (const remark of verdict.remarks) lines.push(`  Not decided: ${remark}`);
  return lines;
}

function number(value: number): string {
  return value.toLocaleString("en-US");
}
