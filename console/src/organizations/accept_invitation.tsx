import { useMutation, useQuery } from "@tanstack/react-query";
import { Text, useBulwarkQueries, useText } from "../blocks/provider.tsx";
import { Badge, Line, Problem, Section } from "../ui/parts.tsx";

/** The invitations of the person, to accept or to decline. Shows nothing if there is none. */
export function AcceptInvitation() {
  const queries = useBulwarkQueries();
  const t = useText();
  const { data: invitations, error } = useQuery(queries.invitations.mine());
  const accept = useMutation(queries.invitations.acceptMine());
  const decline = useMutation(queries.invitations.decline());
  if (error) return <Problem error={error} />;
  if (!invitations?.length) return null;
  return (
    <Section title={t("Invitations")} about={t("Somebody asks you to join.")}>
      <ul>
        {invitations.map(({ invitation_id, organization_name, role, invited_by_name }) => (
          <Line key={invitation_id}>
            <span className="font-medium">{organization_name}</span>
            <Badge>{role}</Badge>
            {invited_by_name && (
              <span className="text-quiet">
                <Text of="by {name}" name={invited_by_name} />
              </span>
            )}
            <span className="ml-auto flex gap-2">
              <button
                type="button"
                className="button"
                disabled={decline.isPending}
                onClick={() =>
                  decline.mutate([invitation_id])}
              >
                {t("Decline")}
              </button>
              <button
                type="button"
                className="button primary"
                disabled={accept.isPending}
                onClick={() => accept.mutate([invitation_id])}
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
