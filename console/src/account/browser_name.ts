import type { useText } from "../blocks/provider.tsx";

/** A name that people recognize, such as "Firefox on Linux". */
export function browserName(agent: string | null, t: ReturnType<typeof useText>): string {
  if (!agent) return t("Unknown browser");
  const find = (names: Record<string, RegExp>) =>
    Object.entries(names).find(([, pattern]) => pattern.test(agent))?.[0];
  const program = find({
    Edge: /Edg\//,
    Opera: /OPR\//,
    Firefox: /Firefox\//,
    Chrome: /Chrom(e|ium)\//,
    Safari: /Safari\//,
  });
  const system = find({
    iOS: /iPhone|iPad/,
    Android: /Android/,
    Windows: /Windows/,
    macOS: /Mac OS X/,
    Linux: /Linux/,
  });
  if (!program) return agent.split(" ")[0]?.slice(0, 40) ?? t("Unknown browser");
  return system ? t("{program} on {system}", { program, system }) : program;
}
