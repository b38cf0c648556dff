import { Dialog } from "@base-ui/react/dialog";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { type Organization, useBulwarkQueries, useText } from "../blocks/provider.tsx";
import { type Opened, useGivenOr } from "../ui/opened.ts";
import { Field, Problem } from "../ui/parts.tsx";
import { Secret } from "../ui/secret.tsx";
import { Duration, endIn } from "./duration.tsx";
import { RoleSelect } from "./role_select.tsx";
import { useRoles } from "./roles.ts";

/** A token is shown this once; it opens nothing but the invitation to that address. */
export function Token({ token, email, link }: {
  token: string;
  email: string;
  /** The page on which invitations are accepted. */
  link: string | undefined;
}) {
  const t = useText();
  return (
    <div role="status" className="grid gap-1 rounded-md bg-good-soft px-3 py-2">
      <p className="text-good">
        {link
          ? t("{email} is invited. No e-mail was sent: send them this link.", { email })
          : t("{email} is invited. No e-mail was sent: tell them.", { email })}{" "}
        {t("They sign in, or create an account, with this address, and accept the invitation.")}
      </p>
      {link && <Secret text={link} label={t("Copy the link")} />}
      <p className="text-quiet">
        {t("They do not need this token. It is for an application of yours, and shown this once:")}
      </p>
      <Secret text={token} label={t("Copy the token")} />
    </div>
  );
}

/** Invites an address into a role that one may give, for a time or for good. */
export function Invite({ organization, opened, link }: {
  organization: Organization;
  opened?: Opened;
  /** The page on which invitations are accepted. */
  link?: string;
}) {
  const queries = useBulwarkQueries();
  const t = useText();
  const [open, setOpen] = useGivenOr(opened);
  const [role, setRole] = useState("");
  const invite = useMutation(queries.invitations.create());
  const { roles, error } = useRoles(organization);
  const change = (next: boolean) => {
    setOpen(next);
    setRole("");
    invite.reset();
  };
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const email = String(form.get("email")).trim();
    invite.mutate([organization.id, { email, role, role_expires_at: endIn(form) }]);
  };
  return (
    <Dialog.Root open={open} onOpenChange={change}>
      <Dialog.Trigger className="button primary">{t("Invite")}</Dialog.Trigger>
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop" />
        <Dialog.Popup className="dialog">
          <Dialog.Title className="text-lg font-semibold break-words">
            {t("Invite to {name}", { name: organization.name })}
          </Dialog.Title>
          {invite.data
            ? (
              <>
                {invite.data.token
                  ? (
                    <Token
                      token={invite.data.token}
                      link={link}
                      email={invite.variables?.[1].email ?? t("The address")}
                    />
                  )
                  : <p role="status">{t("The invitation is on its way by e-mail.")}</p>}
                <Dialog.Close className="button justify-self-end">{t("Done")}</Dialog.Close>
              </>
            )
            : (
              <form onSubmit={submit} className="grid gap-4">
                <Field label={t("E-mail")} name="email" type="email" required maxLength={254} />
                <RoleSelect roles={roles} chosen={role} onChange={setRole} />
                <div className="grid grid-cols-2 gap-x-4 gap-y-1">
                  <Duration
                    hint={(end) =>
                      t("Counted from now: access ends on {end}, however late they accept.", {
                        end,
                      })}
                  />
                </div>
                <Problem error={invite.error ?? error} />
                <div className="flex justify-end gap-2">
                  <Dialog.Close className="button">{t("Cancel")}</Dialog.Close>
                  <button
                    type="submit"
                    className="button primary"
                    disabled={!role || invite.isPending}
                  >
                    {t("Invite")}
                  </button>
                </div>
              </form>
            )}
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
