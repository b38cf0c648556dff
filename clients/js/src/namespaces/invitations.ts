import { type Calls, first } from "../calls.ts";
import type { Args } from "../overlay.ts";

/** Invitations into an organization. */
export function invitations<T extends boolean>({ rpc, select }: Calls<T>) {
  return {
    /** The invitations of an organization that the caller may see, newest first. */
    list: (organization: string) =>
      select(
        "invitations",
        (query) =>
          query.eq("organization_id", organization).order("created_at", { ascending: false }),
      ),
    /** Invites an address and returns the token, this once. */
    create: (organization: string, invitation: Omit<Args<"invite_member">, "organization_id">) =>
      rpc("invite_member", { organization_id: organization, ...invitation }, first),
    /** Accepts an invitation to the caller's own confirmed address. */
    accept: (token: string) => rpc("accept_invitation", { token }),
    revoke: (invitation: string) => rpc("revoke_invitation", { invitation_id: invitation }),
  };
}
