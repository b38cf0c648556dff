import { Dialog } from "@base-ui/react/dialog";
import type { Member } from "@bulwark/client";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { type Organization, Text, useBulwarkQueries, useText } from "../blocks/provider.tsx";
import { Ago, Badge, Field, Problem } from "../ui/parts.tsx";
import { Duration, endIn, today } from "./duration.tsx";
import { RoleSelect } from "./role_select.tsx";
import { useRoles } from "./roles.ts";

/** Gives roles to a member, for a time or for good, and takes them away. */
export function ChangeRoles({ member, called, organization }: {
  member: Member;
  called: string;
  organization: Organization;
}) {
  const t = useText();
  const [open, setOpen] = useState(false);
  return (
    <Dialog.Root open={open} onOpenChange={setOpen}>
      <Dialog.Trigger
        aria-label={t("Change roles of {called}", { called })}
        className="button plain h-7 px-2"
      >
        {t("Roles")}
      </Dialog.Trigger>
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop" />
        <Dialog.Popup className="dialog">
          <Dialog.Title className="text-lg font-semibold break-words">
            {t("Roles of {called}", { called })}
          </Dialog.Title>
          <Form member={member} organization={organization} />
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

/** When a grant begins and ends. */
function windowIn(form: FormData) {
  const from = form.get("from");
  const begins = from ? Date.parse(`${from}T00:00:00`) : 0;
  return begins > Date.now()
    ? { starts_at: new Date(begins).toISOString(), expires_at: endIn(form, begins) }
    : { expires_at: endIn(form) };
}

function Form({ member, organization }: { member: Member; organization: Organization }) {
  const queries = useBulwarkQueries();
  const t = useText();
  const { roles, error } = useRoles(organization);
  const [role, setRole] = useState("");
  const grant = useMutation(queries.roles.grant());
  const revoke = useMutation(queries.roles.revoke());
  const holder = { user: member.user_id, organization: organization.id };
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const window = windowIn(new FormData(event.currentTarget));
    grant.mutate([{ ...holder, role, ...window }], { onSuccess: () => setRole("") });
  };
  return (
    <>
      <ul aria-label={t("Roles now")} className="grid gap-1">
        {member.roles.map((held) => (
          <li key={held.role + held.source} className="flex min-h-8 items-center gap-2">
            <Badge>{held.role}</Badge>
            <span className="flex-1 text-quiet">
              {!held.active && <Text of="from {time}" time={<Ago time={held.starts_at} />} />}{" "}
              {held.expires_at
                ? <Text of="ends {time}" time={<Ago time={held.expires_at} />} />
                : t("without an end")}
            </span>
            {held.source === "own"
              ? roles?.some(({ role: one, mayGive }) =>
                one.name === held.role && mayGive
              ) && (
                <button
                  type="button"
                  className="button danger h-7 px-2"
                  aria-label={t("Take away {role}", { role: held.role })}
                  disabled={revoke.isPending}
                  onClick={() => revoke.mutate([{ ...holder, role: held.role }])}
                >
                  {t("Take away")}
                </button>
              )
              : <span className="text-quiet">{t("by your application")}</span>}
          </li>
        ))}
      </ul>
      <form onSubmit={submit} className="grid gap-4 border-t border-line pt-4">
        <RoleSelect roles={roles} chosen={role} onChange={setRole} />
        <div className="grid grid-cols-2 gap-4">
          <Field
            label={t("From")}
            name="from"
            type="date"
            min={today()}
            hint={t("Empty: at once")}
          />
          <Duration />
        </div>
        <Problem error={grant.error ?? revoke.error ?? error} />
        <div className="flex justify-end gap-2">
          <Dialog.Close className="button">{t("Close")}</Dialog.Close>
          <button
            type="submit"
            className="button primary"
            disabled={!role || grant.isPending}
          >
            {t("Give role")}
          </button>
        </div>
      </form>
    </>
  );
}
