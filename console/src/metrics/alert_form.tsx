import { useMutation } from "@tanstack/react-query";
import { bulwark, queries } from "../connection.ts";
import { FormDialog } from "../ui/form_dialog.tsx";
import { Field } from "../ui/parts.tsx";

export type AlertRule = Awaited<ReturnType<typeof bulwark.metrics.alerts>>[number];
type Metric = Awaited<ReturnType<typeof bulwark.metrics.list>>[number];

const statistics = [
  "p50",
  "p95",
  "p99",
  "mean",
  "minimum",
  "maximum",
  "last",
  "rate",
  "total",
] as const satisfies readonly AlertRule["statistic"][];

/** Makes an alert rule, or changes one. */
export function AlertForm({ metrics, rule }: { metrics: readonly Metric[]; rule?: AlertRule }) {
  const set = useMutation(queries.metrics.setAlert());
  const thresholdOf = (text: FormDataEntryValue | null) => text === "" ? null : Number(text);
  return (
    <FormDialog
      trigger={rule ? "Change" : "New alert"}
      {...rule ? { label: `Change ${rule.name}`, look: "plain h-7 px-2" } : { look: "primary" }}
      title={rule ? `Change ${rule.name}` : "New alert"}
      action="Save"
      mutation={set}
      onSubmit={(form, close) => {
        const text = (name: string) => String(form.get(name) ?? "").trim();
        // A rule is replaced as a whole, so everything that has no field here is sent as it is.
        const kept = rule && {
          labels: rule.labels,
          time_window: rule.time_window as string,
          lasting: rule.lasting as string,
          recovering: rule.recovering as string,
          cool_down: rule.cool_down as string,
          minimum_count: rule.minimum_count,
          raise_without_data: rule.raise_without_data,
        };
        set.mutate([{
          ...kept,
          name: rule?.name ?? text("name"),
          metric: rule?.metric ?? text("metric"),
          statistic: text("statistic") as AlertRule["statistic"],
          warning: thresholdOf(form.get("warning")),
          critical: thresholdOf(form.get("critical")),
          enabled: form.get("enabled") === "on",
          description: text("description"),
        }], { onSuccess: close });
      }}
    >
      {!rule && (
        <>
          <Field
            label="Name"
            name="name"
            required
            pattern="[a-z][a-z0-9_]{0,62}"
            hint="Small letters, digits and underscores"
          />
          <label className="grid gap-1 font-medium">
            Metric
            <select name="metric" className="field font-normal">
              {metrics.map(({ name, description }) => (
                <option key={name} value={name} title={description}>{name}</option>
              ))}
            </select>
          </label>
        </>
      )}
      <label className="grid gap-1 font-medium">
        Statistic
        <select
          name="statistic"
          className="field font-normal"
          defaultValue={rule?.statistic ?? "p95"}
        >
          {statistics.map((one) => <option key={one}>{one}</option>)}
        </select>
      </label>
      <div className="grid grid-cols-2 gap-4">
        <Field
          label="Warning above"
          name="warning"
          type="number"
          step="any"
          defaultValue={rule?.warning ?? ""}
        />
        <Field
          label="Critical above"
          name="critical"
          type="number"
          step="any"
          defaultValue={rule?.critical ?? ""}
        />
      </div>
      <Field
        label="Description"
        name="description"
        maxLength={500}
        defaultValue={rule?.description ?? ""}
      />
      <label className="flex items-center gap-2">
        <input type="checkbox" name="enabled" defaultChecked={rule?.enabled ?? true} />
        Enabled
      </label>
    </FormDialog>
  );
}
