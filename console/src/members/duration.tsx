import { useState } from "react";
import { useText } from "../blocks/provider.tsx";
import { Field, Select } from "../ui/parts.tsx";

/** Durations that are offered, in days. */
const days = [1, 3, 7, 30];

/** How long a role lasts: without an end, some days, or until the end of a day. */
export function Duration({ hint }: {
  /** Says something about the end, which is given as text. */
  hint?(end: string): string;
}) {
  const t = useText();
  const [chosen, setChosen] = useState("");
  const [day, setDay] = useState("");
  const end = endOf(chosen, day);
  return (
    <>
      <Select
        label={t("How long")}
        name="for"
        value={chosen}
        onChange={({ target }) => setChosen(target.value)}
      >
        <option value="">{t("without an end")}</option>
        {days.map((amount) => (
          <option key={amount} value={amount}>
            {amount === 1 ? t("a day") : t("{amount} days", { amount })}
          </option>
        ))}
        <option value="until">{t("until a day")}</option>
      </Select>
      {chosen === "until" && (
        <Field
          label={t("Until")}
          name="until"
          type="date"
          required
          min={today()}
          value={day}
          onChange={({ target }) => setDay(target.value)}
          hint={t("The end of that day")}
        />
      )}
      {end && !isNaN(end.getTime()) && hint && (
        <p className="col-span-full text-xs text-quiet">
          {hint(end.toLocaleString(undefined, { dateStyle: "full", timeStyle: "short" }))}
        </p>
      )}
    </>
  );
}

/** The end that a form with a duration chooses; null: none. Days count from the beginning. */
export function endIn(form: FormData, begins = Date.now()): string | null {
  const chosen = String(form.get("for"));
  return endOf(chosen, String(form.get("until")), begins)?.toISOString() ?? null;
}

/** The end of a chosen duration; null: none. It is no valid date while its day is not known. */
function endOf(chosen: string, day: string, begins = Date.now()): Date | null {
  if (!chosen) return null;
  return chosen === "until"
    ? new Date(`${day}T23:59:59`)
    : new Date(begins + Number(chosen) * 86_400_000);
}

/** The present day as a date field has it. */
export function today(): string {
  return new Date().toLocaleDateString("sv");
}
