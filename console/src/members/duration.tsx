import { useState } from "react";
import { useText } from "../blocks/provider.tsx";
import { Field, Select } from "../ui/parts.tsx";

/** Durations that are offered, in days. */
const days = [1, 3, 7, 30];

/** How long a role lasts: without an end, some days, or until the end of a day. */
export function Duration({ hint }: { hint?: string }) {
  const t = useText();
  const [chosen, setChosen] = useState("");
  return (
    <>
      <Select
        label={t("For")}
        name="for"
        value={chosen}
        onChange={({ target }) => setChosen(target.value)}
      >
        <option value="">{t("good, without an end")}</option>
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
          hint={t("The end of that day")}
        />
      )}
      {chosen !== "" && hint && <p className="col-span-full text-xs text-quiet">{hint}</p>}
    </>
  );
}

/** The end that a form with a duration chooses; null: none. Days count from the beginning. */
export function endIn(form: FormData, begins = Date.now()): string | null {
  const chosen = String(form.get("for"));
  if (!chosen) return null;
  const end = chosen === "until"
    ? new Date(`${form.get("until")}T23:59:59`)
    : new Date(begins + Number(chosen) * 86_400_000);
  return end.toISOString();
}

/** The present day as a date field has it. */
export function today(): string {
  return new Date().toLocaleDateString("sv");
}
