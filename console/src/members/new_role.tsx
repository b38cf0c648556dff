import { Dialog } from "@base-ui/react/dialog";
import type { Permission } from "@bulwark/client";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { queries } from "../connection.ts";
import type { Organization } from "../organization.tsx";
import { Field, Problem, Skeleton } from "../ui/parts.tsx";
import { useRoles } from "./roles.ts";

/** Makes a role from permissions and other roles, of those that the person holds. */
export function NewRole({ organization }: { organization: Organization }) {
  const [open, setOpen] = useState(false);
  const create = useMutation(queries.roles.create());
  const { roles, permissions, error } = useRoles(organization);
  const held = new Set<string>(organization.permissions);
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const role = {
      name: String(form.get("name")).trim(),
      description: String(form.get("description")).trim(),
      permissions: form.getAll("permission") as Permission[],
      inherits: form.getAll("inherits").map(String),
    };
    create.mutate([organization.id, role], { onSuccess: () => setOpen(false) });
  };
  const change = (next: boolean) => {
    create.reset();
    setOpen(next);
  };
  return (
    <Dialog.Root open={open} onOpenChange={change}>
      <Dialog.Trigger className="button primary">New role</Dialog.Trigger>
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop" />
        <Dialog.Popup className="dialog">
          <Dialog.Title className="text-lg font-semibold">New role</Dialog.Title>
          <form onSubmit={submit} className="grid gap-4">
            <Field
              label="Name"
              name="name"
              required
              pattern="[a-z][a-z0-9_]{1,62}"
              hint="Small letters, digits and underscores"
            />
            <Field label="Description" name="description" maxLength={500} />
            <fieldset className="grid gap-1">
              <legend className="mb-1 font-medium">Inherits</legend>
              <span className="flex flex-wrap gap-x-4 gap-y-1">
                {roles?.map(({ role, mayGive }) => (
                  <Choice key={role.id} name="inherits" value={role.name} disabled={!mayGive} />
                ))}
              </span>
            </fieldset>
            <fieldset className="grid gap-1">
              <legend className="mb-1 font-medium">Permissions</legend>
              <p className="text-xs text-quiet">Those that you do not hold cannot be chosen.</p>
              {!permissions && !error && <Skeleton />}
              <span
                role="group"
                aria-label="Permissions"
                tabIndex={0}
                className="grid max-h-48 gap-1 overflow-auto rounded-md border border-line p-2"
              >
                {permissions?.map(({ name }) => (
                  <Choice key={name} name="permission" value={name} disabled={!held.has(name)} />
                ))}
              </span>
            </fieldset>
            <Problem error={create.error ?? error} />
            <div className="flex justify-end gap-2">
              <Dialog.Close className="button">Cancel</Dialog.Close>
              <button type="submit" className="button primary" disabled={create.isPending}>
                Create
              </button>
            </div>
          </form>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

function Choice({ name, value, disabled }: { name: string; value: string; disabled: boolean }) {
  return (
    <label className={`flex items-center gap-2 ${disabled ? "text-quiet line-through" : ""}`}>
      <input type="checkbox" name={name} value={value} disabled={disabled} />
      <span className="font-mono text-xs">{value}</span>
    </label>
  );
}
