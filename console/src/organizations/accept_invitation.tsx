import { useMutation, useQuery } from "@tanstack/react-query";
import { Text, useBulwarkQueries, useText } from "../blocks/provider.tsx";
import { Ago, Badge, Line, Problem, Section } from "../ui/parts.tsx";

/** The invitations of the person, to accept or to decline. Shows nothing if there is none. */
export function AcceptInvitation({ onAccepted }: {
  /** The person is a member now. */
  onAccepted?(): void;
}) {
  const queries = useBulwarkQueries();
  const t = useText();
  const { data: invitations, error } = useQuery(queries.invitations.mine());
  const accept = useMutation(queries.invitations.acceptMine());
  const decline = useMutation(queries.invitations.decline());
  if (error) return <Problem error={error} />;
  if (!invitations?.length) return null;
  const senders = [...new Set(invitations.map(senderOf))];
  return (
    <Section
      title={t("Invitations")}
      about={senders.length === 1 && senders[0]
        ? t("{name} asks you to join.", { name: senders[0] })
        : t("You are asked to join.")}
    >
      <ul>
        {invitations.map((
          { invitation_id, organization_name, role, role_expires_at, ...sender },
        ) => (
          <Line key={invitation_id}>
            <span className="font-medium">{organization_name}</span>
            <Badge>{role}</Badge>
            {role_expires_at && (
              <span className="text-quiet">
                <Text of="the role ends {time}" time={<Ago time={role_expires_at} />} />
              </span>
            )}
            {senders.length > 1 && senderOf(sender) && (
              <span className="text-quiet">
                <Text of="by {name}" name={senderOf(sender)} />
              </span>
            )}
            <span className="ml-auto flex gap-2">
              <button
                type="button"
                className="button"
                disabled={decline.isPending}
                onClick={() => decline.mutate([invitation_id])}
              >
                {t("Decline")}
              </button>
              <button
                type="button"
                className="button primary"
                disabled={accept.isPending}
                onClick={() => accept.mutate([invitation_id], { onSuccess: () => onAccepted?.() })}
              >
                {t("Accept")}
              </button>
            </span>
          </Line>
        ))}
      </ul>
      <Problem error={accept.error ?? decline.error} />
    </Section>
  );
}

/** The sender by name and address. People choose their names, so a name alone proves nothing. */
function senderOf({ invited_by_name: name, invited_by_email: email }: {
  invited_by_name: string | null;
  invited_by_email: string | null;
}): string {
  return name && email ? `${name} (${email})` : name ?? email ?? "";
}
