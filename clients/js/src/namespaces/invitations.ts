import { type Calls, first, firstOrNull } from "../calls.ts";
import type { Args } from "../overlay.ts";
import { rowsOf } from "../pages.ts";
import type { InvitationState } from "../shapes.ts";

/** A filter of invitations. */
export type InvitationFilter = Omit<Args<"list_invitations">, "organization_id" | "states"> & {
  states?: readonly InvitationState[] | null | undefined;
};

/** Invitations into an organization. */
export function invitations<T extends boolean>({ rpc }: Calls<T>, throwing: Calls<true>) {
  return {
    /** A page of the invitations of an organization, newest first. */
    list: (organization: string, filter: InvitationFilter = {}) =>
      rpc("list_invitations", { organization_id: organization, ...filter }),
    /** All invitations that match a filter, page by page. Throws a BulwarkError. */
    all: (organization: string, filter: InvitationFilter = {}) =>
      rowsOf(
        filter.before,
        (before) =>
          throwing.rpc("list_invitations", {
            organization_id: organization,
            page_size: 100,
            ...filter,
            before,
          }),
        ({ invitation_id }) => invitation_id,
      ),
    /** Invites an address and returns the token, this once; null if a webhook sends it as e-mail. */
    create: (organization: string, invitation: Omit<Args<"invite_member">, "organization_id">) =>
      rpc("invite_member", { organization_id: organization, ...invitation }, first),
    /** Replaces an invitation by a new one, with a new token. */
    resend: (invitation: string, expires_in?: string) =>
      rpc("resend_invitation", { invitation_id: invitation, expires_in }, first),
    revoke: (invitation: string) => rpc("revoke_invitation", { invitation_id: invitation }),
    /** The invitations of the caller's confirmed address. */
    mine: () => rpc("my_invitations", {}),
    /** The invitation behind a token, also for somebody without an account; null if there is none. */
    preview: (token: string) => rpc("preview_invitation", { token }, firstOrNull),
    /** Accepts an invitation to the caller's own confirmed address. */
    accept: (token: string) => rpc("accept_invitation", { token }),
    /** Accepts one of `mine`. */
    acceptMine: (invitation: string) => rpc("accept_my_invitation", { invitation_id: invitation }),
    /** Declines one of `mine`. */
    decline: (invitation: string) => rpc("decline_invitation", { invitation_id: invitation }),
  };
}
