import { useState } from "react";
import { useText } from "../blocks/provider.tsx";
import type { Days } from "./days.ts";
import { type DaysChange, presetOf, presets, today } from "./periods.ts";

const own = "own";

/** A period: one that people often ask for, or days of their own. */
export function DaysFields({ days, everything, disabled = false, onChange }: {
  days: Days;
  /** The text for no limit at all. */
  everything: string;
  disabled?: boolean;
  onChange(days: DaysChange): void;
}) {
  const t = useText();
  const { since, until } = days;
  const preset = presetOf(days);
  const [asked, setAsked] = useState(false);
  const isOwn = asked || ((since !== undefined || until !== undefined) && preset === undefined);
  const choose = (name: string) => {
    setAsked(name === own);
    if (name === own) return;
    onChange(
      presets.find((one) => one.name === name)?.days() ?? { since: undefined, until: undefined },
    );
  };
  // The end that was not touched gives way.
  const changeSince = (day: string) =>
    onChange({ since: day || undefined, until: until && until < day ? undefined : until });
  const changeUntil = (day: string) =>
    onChange({ since: day && since && day < since ? undefined : since, until: day || undefined });
  return (
    <>
      <select
        aria-label={t("Period")}
        className="field w-auto grow basis-40 md:grow-0 md:basis-auto"
        disabled={disabled}
        value={isOwn ? own : preset ?? ""}
        onChange={({ target }) => choose(target.value)}
      >
        <option value="">{everything}</option>
        {presets.map(({ name }) => <option key={name} value={name}>{t(name)}</option>)}
        <option value={own}>{t("Other days")}</option>
      </select>
      {isOwn && (
        <span className="flex flex-wrap gap-2">
          <label className="flex items-center gap-2 text-quiet">
            {t("From")}
            <input
              type="date"
              max={today()}
              className="field w-auto text-ink"
              disabled={disabled}
              value={since ?? ""}
              onChange={({ target }) => changeSince(target.value)}
            />
          </label>
          <label className="flex items-center gap-2 text-quiet">
            {t("Until")}
            <input
              type="date"
              max={today()}
              className="field w-auto text-ink"
              disabled={disabled}
              value={until ?? ""}
              onChange={({ target }) => changeUntil(target.value)}
            />
          </label>
        </span>
      )}
    </>
  );
}
