import type { AuditEntry } from "@bulwark/client";

const looks = {
  debug: { shape: "·", colour: "text-quiet" },
  info: { shape: "○", colour: "text-quiet" },
  warning: { shape: "▲", colour: "text-warn" },
  error: { shape: "◆", colour: "text-bad" },
  critical: { shape: "■", colour: "text-bad font-semibold" },
} as const;

/** A severity as a shape and a word; on a phone, if compact, the word is for screen readers alone. */
export function Severity(
  { severity, compact = false }: { severity: AuditEntry["severity"]; compact?: boolean },
) {
  const { shape, colour } = looks[severity];
  return (
    <span className={`flex items-center gap-1.5 ${colour}`}>
      <span aria-hidden className="w-3 text-center">{shape}</span>
      <span className={compact ? "sr-only md:not-sr-only" : ""}>{severity}</span>
    </span>
  );
}
