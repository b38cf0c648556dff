import type { SentInvitation } from "@bulwark/client";
import { useInfiniteQuery, useMutation } from "@tanstack/react-query";
import { type Organization, Text, useBulwarkQueries, useText } from "../blocks/provider.tsx";
import { useNames } from "../ui/names.ts";
import { Ago, Badge, Empty, Problem } from "../ui/parts.tsx";
import { Actions, Cell, Row, Table } from "../ui/table.tsx";
import { Token } from "./invite.tsx";

const tones = {
  pending: "warn",
  accepted: "good",
  declined: "bad",
  revoked: "quiet",
  expired: "quiet",
} as const;

/** The invitations of an organization, and what became of them. */
export function Invitations({ organization, link }: {
  organization: Organization;
  /** The page on which invitations are accepted. */
  link?: string;
}) {
  const queries = useBulwarkQueries();
  const t = useText();
  const sent = useInfiniteQuery(queries.invitations.all(organization.id));
  const rows = sent.data?.pages.flat();
  const nameOf = useNames(organization.id, rows?.map(({ invited_by }) => invited_by) ?? []);
  return (
    <>
      <h2 className="text-base font-semibold">{t("Invitations")}</h2>
      <Table
        label={t("Invitations")}
        columns={[t("Address"), t("Role"), t("State"), t("Sent"), t("By"), {
          hidden: t("Actions"),
        }]}
        rows={rows}
        error={sent.error}
        pages={sent}
        empty={
          <Empty title={t("Nobody is invited")}>
            {t("Invite a colleague, and see here whether they came.")}
          </Empty>
        }
      >
        {(one) => (
          <Sent
            key={one.invitation_id}
            invitation={one}
            link={link}
            by={one.invited_by_name ?? nameOf(one.invited_by)}
          />
        )}
      </Table>
    </>
  );
}

function Sent({ invitation, by, link }: {
  invitation: SentInvitation;
  by: string;
  link: string | undefined;
}) {
  const queries = useBulwarkQueries();
  const t = useText();
  const { invitation_id, email, role, role_expires_at, state, created_at, expires_at } = invitation;
  const revoke = useMutation(queries.invitations.revoke());
  const resend = useMutation(queries.invitations.resend());
  const open = state === "pending" || state === "expired";
  return (
    <>
      <Row data-invitation={email}>
        <Cell className="font-medium whitespace-nowrap">{email}</Cell>
        <Cell className="whitespace-nowrap">
          <Badge>{role}</Badge> {role_expires_at && (
            <span className="text-xs text-quiet">
              <Text of="ends {time}" time={<Ago time={role_expires_at} />} />
            </span>
          )}
        </Cell>
        <Cell className="whitespace-nowrap">
          <Badge tone={tones[state]}>{t(state)}</Badge>{" "}
          {state === "pending" && (
            <span className="text-xs text-quiet">
              <Text of="ends {time}" time={<Ago time={expires_at} />} />
            </span>
          )}
        </Cell>
        <Cell className="text-quiet">
          <Ago time={created_at} />
        </Cell>
        <Cell className="whitespace-nowrap text-quiet">{by}</Cell>
        <Actions>
          {open && (
            <button
              type="button"
              className="button plain h-7 px-2"
              aria-label={t("Resend to {email}", { email })}
              disabled={resend.isPending}
              onClick={() => resend.mutate([invitation_id])}
            >
              {t("Resend")}
            </button>
          )}
          {state === "pending" && (
            <button
              type="button"
              className="button plain danger h-7 px-2"
              aria-label={t("Revoke for {email}", { email })}
              disabled={revoke.isPending}
              onClick={() => revoke.mutate([invitation_id])}
            >
              {t("Revoke")}
            </button>
          )}
        </Actions>
      </Row>
      {(revoke.error ?? resend.error ?? resend.data?.token) && (
        <Row>
          <Cell colSpan={6} className="py-2">
            <Problem error={revoke.error ?? resend.error} />
            {resend.data?.token && <Token token={resend.data.token} email={email} link={link} />}
          </Cell>
        </Row>
      )}
    </>
  );
}
