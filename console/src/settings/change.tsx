import type { Setting } from "@bulwark/client";
import { useMutation } from "@tanstack/react-query";
import { queries } from "../connection.ts";
import { FormDialog } from "../ui/form_dialog.tsx";
import { Field } from "../ui/parts.tsx";
import { type Accepts, rangeOf, textOf, valueOf } from "./values.ts";

/** Changes a setting, by a control that fits the values it takes. */
export function Change({ setting: { name, value, description }, accepts }: {
  setting: Setting;
  accepts: Accepts;
}) {
  const set = useMutation(queries.settings.set());
  const hint = rangeOf(accepts);
  const isNumber = accepts["type"] === "integer" || accepts["type"] === "number";
  return (
    <FormDialog
      trigger="Change"
      label={`Change ${name}`}
      look="plain h-7 px-2"
      title={name}
      action="Save"
      mutation={set}
      onSubmit={(form, close) =>
        set.mutate([name, valueOf(String(form.get("value")), accepts)], { onSuccess: close })}
    >
      <p className="text-quiet">{description}. It counts from the next request on.</p>
      {accepts["type"] === "boolean"
        ? (
          <label className="grid gap-1 font-medium">
            Value
            <select name="value" className="field font-normal" defaultValue={textOf(value)}>
              <option value="true">on</option>
              <option value="false">off</option>
            </select>
          </label>
        )
        : (
          <Field
            label="Value"
            name="value"
            inputMode={isNumber ? "decimal" : undefined}
            defaultValue={textOf(value)}
            hint={hint}
          />
        )}
    </FormDialog>
  );
}
