import { useNavigate, useSearch } from "@tanstack/react-router";
import { useOpened } from "../opened.ts";
import { OfOrganization } from "../organization.tsx";
import { Heading } from "../ui/parts.tsx";
import { Invitations } from "./invitations.tsx";
import { Invite } from "./invite.tsx";
import { Leave } from "./leave.tsx";
import { MembersCard } from "./members_card.tsx";
import type { MemberSearch } from "./search.ts";

/** The people of an organization, their roles, and those who are invited. */
export function Members() {
  const { search, member } = useSearch({ from: "/shell/o/$slug/members" });
  const navigate = useNavigate({ from: "/o/$slug/members" });
  const opened = useOpened("invite");
  const show = (next: MemberSearch) =>
    void navigate({
      search: ({ search: _, member: __, ...others }) => ({ ...others, ...next }),
      replace: true,
    });
  const link = location.origin + location.pathname;
  const shown = { ...search ? { search } : {}, ...member ? { member } : {} };
  return (
    <OfOrganization title="Members" permission="user:read">
      {(organization) => {
        const invites = organization.permissions.includes("user:create");
        return (
          <>
            <Heading
              action={
                <span className="flex gap-2">
                  <Leave organization={organization} onLeft={() => void navigate({ to: "/" })} />
                  {invites && <Invite organization={organization} opened={opened} link={link} />}
                </span>
              }
            >
              Members
            </Heading>
            <MembersCard
              key={organization.id}
              organization={organization}
              shown={shown}
              onShow={show}
            />
            {invites && <Invitations organization={organization} link={link} />}
          </>
        );
      }}
    </OfOrganization>
  );
}
