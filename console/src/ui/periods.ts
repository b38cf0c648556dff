import { dayOf, type Days, midnight } from "./days.ts";

/** Another value for parts of it; undefined and an empty text remove them. */
export type DaysChange = { [Name in keyof Days]: Days[Name] | undefined };

export function today(): string {
  return dayOf(new Date());
}

/** The moments from which and before which days are. */
export function momentsOf({ since, until }: Days): { since?: string; until?: string } {
  return {
    ...since ? { since: midnight(since).toISOString() } : {},
    ...until ? { until: midnight(until, 1).toISOString() } : {},
  };
}

/** Days that people ask for. Weeks begin on Mondays. */
export const presets: readonly { name: string; days(): Required<Days> }[] = [
  { name: "Today", days: () => ({ since: today(), until: today() }) },
  { name: "Last 7 days", days: () => ({ since: dayOf(midnight(today(), -6)), until: today() }) },
  {
    name: "Last week",
    days() {
      const sinceMonday = (new Date().getDay() + 6) % 7;
      return {
        since: dayOf(midnight(today(), -sinceMonday - 7)),
        until: dayOf(midnight(today(), -sinceMonday - 1)),
      };
    },
  },
  { name: "This month", days: () => ({ since: `${today().slice(0, 8)}01`, until: today() }) },
  {
    name: "Last month",
    days() {
      const until = dayOf(midnight(`${today().slice(0, 8)}01`, -1));
      return { since: `${until.slice(0, 8)}01`, until };
    },
  },
];

/** The preset of days; undefined if they are others. */
export function presetOf({ since, until }: Days): string | undefined {
  return presets.find(({ days }) => {
    const preset = days();
    return preset.since === since && preset.until === until;
  })?.name;
}

/** Days in words of the reader's language. Without both ends there is nothing to say. */
export function wordsOf({ since, until }: Days): string | null {
  const words = new Intl.DateTimeFormat(undefined, { dateStyle: "long" });
  if (since && until) return words.formatRange(midnight(since), midnight(until));
  if (since) return `${words.format(midnight(since))} –`;
  return until ? `– ${words.format(midnight(until))}` : null;
}
