import { Dialog } from "@base-ui/react/dialog";
import type { Permission } from "@bulwark/client";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, type ReactNode, useState } from "react";
import { type Organization, useBulwarkQueries, useText } from "../blocks/provider.tsx";
import { Choices } from "../ui/choices.tsx";
import { type Opened, useGivenOr } from "../ui/opened.ts";
import { Field, Problem, Skeleton } from "../ui/parts.tsx";
import { type RoleContents, useRoles } from "./roles.ts";

/** Makes a role from permissions and other roles, of those that the person holds. */
export function NewRole({ organization, opened }: {
  organization: Organization;
  opened?: Opened;
}) {
  const queries = useBulwarkQueries();
  const t = useText();
  const [open, setOpen] = useGivenOr(opened);
  const create = useMutation(queries.roles.create());
  return (
    <RoleDialog
      organization={organization}
      trigger={<Dialog.Trigger className="button primary">{t("New role")}</Dialog.Trigger>}
      title={t("New role")}
      action={t("Create")}
      role={null}
      mutation={create}
      open={open}
      onOpenChange={setOpen}
      onSubmit={(role) =>
        create.mutate([organization.id, role], { onSuccess: () => setOpen(false) })}
    />
  );
}

/** Renames a role of the organization, and changes its contents. */
export function EditRole({ organization, role }: {
  organization: Organization;
  role: RoleContents;
}) {
  const queries = useBulwarkQueries();
  const t = useText();
  const [open, setOpen] = useState(false);
  const update = useMutation(queries.roles.update());
  const { name } = role.role;
  return (
    <RoleDialog
      organization={organization}
      trigger={
        <Dialog.Trigger className="button plain h-7 px-2" aria-label={t("Edit {name}", { name })}>
          {t("Edit")}
        </Dialog.Trigger>
      }
      title={t("Edit {name}", { name })}
      action={t("Save")}
      role={role}
      mutation={update}
      open={open}
      onOpenChange={setOpen}
      onSubmit={(change) =>
        update.mutate([organization.id, name, change], { onSuccess: () => setOpen(false) })}
    />
  );
}

interface Definition {
  name: string;
  description: string;
  permissions: Permission[];
  inherits: string[];
}

function RoleDialog(
  { organization, trigger, title, action, role, mutation, open, onOpenChange, onSubmit }: {
    organization: Organization;
    trigger: ReactNode;
    title: string;
    action: string;
    /** The role that is changed; null makes a new one. */
    role: RoleContents | null;
    mutation: Pick<ReturnType<typeof useMutation>, "isPending" | "reset"> & {
      error: React.ComponentProps<typeof Problem>["error"];
    };
    open: boolean;
    onOpenChange(open: boolean): void;
    onSubmit(definition: Definition): void;
  },
) {
  const t = useText();
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    onSubmit({
      name: String(form.get("name")).trim(),
      description: String(form.get("description")).trim(),
      permissions: form.getAll("permission") as Permission[],
      inherits: form.getAll("inherits").map(String),
    });
  };
  return (
    <Dialog.Root
      open={open}
      onOpenChange={(next) => {
        mutation.reset();
        onOpenChange(next);
      }}
    >
      {trigger}
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop" />
        <Dialog.Popup className="dialog">
          <Dialog.Title className="text-lg font-semibold break-words">{title}</Dialog.Title>
          <form onSubmit={submit} className="grid gap-4">
            <Field
              label={t("Name")}
              name="name"
              required
              pattern="[a-z][a-z0-9_]{1,62}"
              defaultValue={role?.role.name}
              hint={t("Small letters, digits and underscores")}
            />
            <Field
              label={t("Description")}
              name="description"
              maxLength={500}
              defaultValue={role?.role.description}
            />
            <Contents organization={organization} role={role} />
            <Problem error={mutation.error} />
            <div className="flex justify-end gap-2">
              <Dialog.Close className="button">{t("Cancel")}</Dialog.Close>
              <button type="submit" className="button primary" disabled={mutation.isPending}>
                {action}
              </button>
            </div>
          </form>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

/** The roles that it inherits and its permissions; of those beyond the person it says why. */
function Contents({ organization, role }: {
  organization: Organization;
  role: RoleContents | null;
}) {
  const t = useText();
  const { roles, permissions, error } = useRoles(organization);
  const held = new Set<string>(organization.permissions);
  if (error) return <Problem error={error} />;
  if (!roles) return <Skeleton />;
  return (
    <>
      <Choices label={t("Inherits")}>
        {roles.filter((one) => one.role.id !== role?.role.id).map((one) => (
          <Choice
            key={one.role.id}
            name="inherits"
            value={one.role.name}
            chosen={role?.inherits.includes(one.role.name)}
            beyond={one.beyond && t(one.beyond)}
          />
        ))}
      </Choices>
      <Choices label={t("Permissions")}>
        {permissions.map(({ name }) => (
          <Choice
            key={name}
            name="permission"
            value={name}
            chosen={role?.own.has(name)}
            beyond={held.has(name) ? null : t("you do not hold it")}
          />
        ))}
      </Choices>
    </>
  );
}

function Choice({ name, value, chosen, beyond }: {
  name: string;
  value: string;
  chosen: boolean | undefined;
  beyond: string | null;
}) {
  return (
    <label className={`flex items-center gap-2 ${beyond ? "text-quiet" : ""}`}>
      <input
        type="checkbox"
        name={name}
        value={value}
        defaultChecked={chosen}
        disabled={beyond !== null}
      />
      <span className="font-mono text-xs">{value}</span>
      {beyond && <span className="ml-auto text-xs">{beyond}</span>}
    </label>
  );
}
