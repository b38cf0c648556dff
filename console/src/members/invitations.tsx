import { Dialog } from "@base-ui/react/dialog";
import type { SentInvitation } from "@bulwark/client";
import { useInfiniteQuery, useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { queries } from "../connection.ts";
import { useOpened } from "../opened.ts";
import type { Organization } from "../organization.tsx";
import { Ago, Badge, Copy, Empty, Field, Problem } from "../ui/parts.tsx";
import { Actions, Cell, Row, Table } from "../ui/table.tsx";
import { RoleSelect } from "./role_select.tsx";
import { useRoles } from "./roles.ts";

const tones = {
  pending: "warn",
  accepted: "good",
  declined: "bad",
  revoked: "quiet",
  expired: "quiet",
} as const;

/** The invitations of an organization, and what became of them. */
export function Invitations({ organization }: { organization: Organization }) {
  const sent = useInfiniteQuery(queries.invitations.all(organization.id));
  return (
    <>
      <h2 className="text-base font-semibold">Invitations</h2>
      <Table
        label="Invitations"
        columns={["Address", "Role", "State", "Sent", "By", { hidden: "Actions" }]}
        rows={sent.data?.pages.flat()}
        error={sent.error}
        pages={sent}
        empty={
          <Empty title="Nobody is invited">
            Invite a colleague, and see here whether they came.
          </Empty>
        }
      >
        {(one) => <Sent key={one.invitation_id} invitation={one} />}
      </Table>
    </>
  );
}

function Sent({ invitation }: { invitation: SentInvitation }) {
  const { invitation_id, email, role, state, created_at, expires_at } = invitation;
  const revoke = useMutation(queries.invitations.revoke());
  const resend = useMutation(queries.invitations.resend());
  const open = state === "pending" || state === "expired";
  return (
    <>
      <Row data-invitation={email}>
        <Cell className="font-medium whitespace-nowrap">{email}</Cell>
        <Cell>
          <Badge>{role}</Badge>
        </Cell>
        <Cell className="whitespace-nowrap">
          <Badge tone={tones[state]}>{state}</Badge>{" "}
          {state === "pending" && (
            <span className="text-xs text-quiet">
              ends <Ago time={expires_at} />
            </span>
          )}
        </Cell>
        <Cell className="text-quiet">
          <Ago time={created_at} />
        </Cell>
        <Cell className="whitespace-nowrap text-quiet">{invitation.invited_by_name ?? "—"}</Cell>
        <Actions>
          {open && (
            <button
              type="button"
              className="button plain h-7 px-2"
              aria-label={`Resend to ${email}`}
              disabled={resend.isPending}
              onClick={() => resend.mutate([invitation_id])}
            >
              Resend
            </button>
          )}
          {state === "pending" && (
            <button
              type="button"
              className="button plain danger h-7 px-2"
              aria-label={`Revoke for ${email}`}
              disabled={revoke.isPending}
              onClick={() => revoke.mutate([invitation_id])}
            >
              Revoke
            </button>
          )}
        </Actions>
      </Row>
      {(revoke.error ?? resend.error ?? resend.data?.token) && (
        <Row>
          <Cell colSpan={6} className="py-2">
            <Problem error={revoke.error ?? resend.error} />
            {resend.data?.token && <Token token={resend.data.token} email={email} />}
          </Cell>
        </Row>
      )}
    </>
  );
}

/** A token is shown this once; it opens nothing but the invitation to that address. */
function Token({ token, email }: { token: string; email: string }) {
  return (
    <div role="status" className="grid gap-1 rounded-md bg-good-soft px-3 py-2">
      <p className="text-good">
        {email}{" "}
        is invited, and finds the invitation in this console after signing in. For your application,
        this once, the token:
      </p>
      <Copy text={token} label="Copy the token">{token}</Copy>
    </div>
  );
}

/** Invites an address into a role that one may give. */
export function Invite({ organization }: { organization: Organization }) {
  const [open, setOpen] = useOpened("invite");
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
    const email = String(new FormData(event.currentTarget).get("email")).trim();
    invite.mutate([organization.id, { email, role }]);
  };
  return (
    <Dialog.Root open={open} onOpenChange={change}>
      <Dialog.Trigger className="button primary">Invite</Dialog.Trigger>
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop" />
        <Dialog.Popup className="dialog">
          <Dialog.Title className="text-lg font-semibold break-words">
            Invite to {organization.name}
          </Dialog.Title>
          {invite.data
            ? (
              <>
                {invite.data.token
                  ? (
                    <Token
                      token={invite.data.token}
                      email={invite.variables?.[1].email ?? "The address"}
                    />
                  )
                  : <p role="status">The invitation is on its way by e-mail.</p>}
                <Dialog.Close className="button justify-self-end">Done</Dialog.Close>
              </>
            )
            : (
              <form onSubmit={submit} className="grid gap-4">
                <Field label="E-mail" name="email" type="email" required maxLength={254} />
                <RoleSelect roles={roles} chosen={role} onChange={setRole} />
                <Problem error={invite.error ?? error} />
                <div className="flex justify-end gap-2">
                  <Dialog.Close className="button">Cancel</Dialog.Close>
                  <button
                    type="submit"
                    className="button primary"
                    disabled={!role || invite.isPending}
                  >
                    Send invitation
                  </button>
                </div>
              </form>
            )}
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
