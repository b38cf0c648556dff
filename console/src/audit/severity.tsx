import type { Enums } from "@bulwark/client";
import { useText } from "../blocks/provider.tsx";

const looks = {
  // Of security events.
  low: { shape: "○", colour: "text-quiet" },
  medium: { shape: "▲", colour: "text-warn" },
  high: { shape: "◆", colour: "text-bad" },
  // Of the audit log.
  debug: { shape: "·", colour: "text-quiet" },
  info: { shape: "○", colour: "text-quiet" },
  warning: { shape: "▲", colour: "text-warn" },
  error: { shape: "◆", colour: "text-bad" },
  critical: { shape: "■", colour: "text-bad font-semibold" },
} as const;

/** A severity as a shape and a word; on a phone, if compact, the word is for screen readers alone. */
export function Severity(
  { severity, compact = false }: {
    severity: Enums["audit_severity"] | Enums["security_severity"];
    compact?: boolean;
  },
) {
  const t = useText();
  const { shape, colour } = looks[severity];
  return (
    <span className={`flex items-center gap-1.5 ${colour}`}>
      <span aria-hidden className="w-3 text-center">{shape}</span>
      <span className={compact ? "sr-only md:not-sr-only" : ""}>{t(severity)}</span>
    </span>
  );
}
