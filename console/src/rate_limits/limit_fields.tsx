import { Field } from "../ui/parts.tsx";

/** Fields for so many calls in so many seconds. */
export function LimitFields({ capacity, seconds }: { capacity?: number; seconds?: number }) {
  return (
    <div className="grid grid-cols-2 items-start gap-4">
      <Field
        label="Calls"
        name="capacity"
        type="number"
        required
        min={1}
        max={1_000_000}
        defaultValue={capacity ?? ""}
      />
      <Field
        label="In seconds"
        name="seconds"
        type="number"
        required
        min={1}
        max={2_678_400}
        defaultValue={seconds ?? ""}
        hint="At most 31 days"
      />
    </div>
  );
}

/** Reads them. */
export function limitIn(form: FormData): { capacity: number; window_seconds: number } {
  return {
    capacity: Number(form.get("capacity")),
    window_seconds: Number(form.get("seconds")),
  };
}
