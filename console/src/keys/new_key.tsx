import { Dialog } from "@base-ui/react/dialog";
import type { IssuedApiKey, Permission } from "@bulwark/client";
import { useMutation, useQuery } from "@tanstack/react-query";
import type { FormEvent } from "react";
import { type Organization, useBulwarkQueries, useText } from "../blocks/provider.tsx";
import { Choices } from "../ui/choices.tsx";
import { type Opened, useGivenOr } from "../ui/opened.ts";
import { Field, Problem, Select, Skeleton } from "../ui/parts.tsx";

const day = 86_400_000;
const number = new Intl.NumberFormat();

/** Makes a key with scopes that the person holds, which ends on a day. */
export function NewKey({ organization, opened, onIssued }: {
  organization: Organization;
  opened: Opened | undefined;
  onIssued(issued: IssuedApiKey): void;
}) {
  const queries = useBulwarkQueries();
  const t = useText();
  const [open, setOpen] = useGivenOr(opened);
  const create = useMutation(queries.apiKeys.create());
  const change = (next: boolean) => {
    // A key that is being made would never be shown.
    if (create.isPending) return;
    create.reset();
    setOpen(next);
  };
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const networks = String(form.get("networks")).split(/[\s,]+/).filter(Boolean);
    const key = {
      name: String(form.get("name")).trim(),
      scopes: form.getAll("scope") as Permission[],
      environment: String(form.get("environment")),
      ...(form.has("limit") ? { rate_limit_rule: String(form.get("limit")) } : {}),
      expires_at: new Date(Date.now() + Number(form.get("days")) * day).toISOString(),
      ...(networks.length > 0 ? { networks } : {}),
    };
    create.mutate([organization.id, key], {
      onSuccess: (issued) => {
        onIssued(issued);
        // Forgets the key, too.
        change(false);
      },
    });
  };
  return (
    <Dialog.Root open={open} onOpenChange={change}>
      <Dialog.Trigger className="button primary">{t("Make a key")}</Dialog.Trigger>
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop" />
        <Dialog.Popup className="dialog">
          <Dialog.Title className="text-lg font-semibold">{t("Make a key")}</Dialog.Title>
          <form onSubmit={submit} className="grid gap-4">
            <Fields organization={organization} />
            <Problem error={create.error} />
            <div className="flex justify-end gap-2">
              <Dialog.Close className="button">{t("Cancel")}</Dialog.Close>
              <button type="submit" className="button primary" disabled={create.isPending}>
                {t("Make")}
              </button>
            </div>
          </form>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

function Fields({ organization }: { organization: Organization }) {
  const queries = useBulwarkQueries();
  const t = useText();
  const { data: options, error } = useQuery(queries.apiKeys.options(organization.id));
  if (error) return <Problem error={error} />;
  if (!options) return <Skeleton />;
  return (
    <>
      {!options.allowed && (
        <p role="alert" className="rounded-md bg-warn-soft px-3 py-2 text-warn">
          {t("This organization has not allowed API keys.")}
        </p>
      )}
      <p className="text-quiet">
        {t("You can make {count} more.", { count: options.keys_left })}{" "}
        {options.step_up_required && t("It needs a second factor of the last minutes.")}
      </p>
      <Field
        label={t("Name")}
        name="name"
        required
        autoFocus
        maxLength={100}
        hint={t("What it is for")}
      />
      <Choices label={t("Scopes")}>
        {options.scopes.map(({ permission, description }) => (
          <label key={permission} className="flex items-center gap-2" title={description}>
            <input type="checkbox" name="scope" value={permission} />
            <span className="font-mono text-xs">{permission}</span>
          </label>
        ))}
      </Choices>
      <div className="grid grid-cols-2 gap-4">
        <Field
          label={t("Days")}
          name="days"
          type="number"
          required
          min={1}
          max={options.max_days}
          defaultValue={options.default_days}
          hint={t("At most {count}", { count: options.max_days })}
        />
        <Select label={t("Environment")} name="environment">
          {options.environments.map((name) => <option key={name}>{name}</option>)}
        </Select>
      </div>
      <Select
        label={t("Limit")}
        name="limit"
        defaultValue={options.rate_limit_rules.find(({ name }) => name === "api_default")?.name}
      >
        {options.rate_limit_rules.map(({ name, description, capacity, window_seconds }) => (
          <option key={name} value={name} title={description}>
            {t(
              capacity === 1
                ? "{name}: 1 call in {seconds} s"
                : "{name}: {calls} calls in {seconds} s",
              {
                name,
                calls: number.format(capacity),
                seconds: number.format(window_seconds),
              },
            )}
          </option>
        ))}
      </Select>
      <Field
        label={t("Networks")}
        name="networks"
        placeholder="203.0.113.0/24"
        hint={t("The only ones it works from. Empty: any.")}
      />
    </>
  );
}
