import type { Member } from "@bulwark/client";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { queries } from "../connection.ts";
import { OfOrganization, type Organization } from "../organization.tsx";
import { Ago, Badge, Empty, Heading, Initials } from "../ui/parts.tsx";
import { Actions, Cell, Row, Table } from "../ui/table.tsx";
import { Leave, Remove } from "./ending.tsx";
import { Invitations, Invite } from "./invitations.tsx";
import { ChangeRoles } from "./member_roles.tsx";
import { Why } from "./why.tsx";

/** The people of an organization, their roles, and those who are invited. */
export function Members() {
  return (
    <OfOrganization title="Members" permission="user:read">
      {(organization) => (
        <>
          <Heading
            action={
              <span className="flex gap-2">
                <Leave organization={organization} />
                {organization.permissions.includes("user:create") && (
                  <Invite organization={organization} />
                )}
              </span>
            }
          >
            Members
          </Heading>
          <People key={organization.id} organization={organization} />
          {organization.permissions.includes("user:create") && (
            <Invitations organization={organization} />
          )}
        </>
      )}
    </OfOrganization>
  );
}

function People({ organization }: { organization: Organization }) {
  const { search = "", member = null } = useSearch({ from: "/shell/o/$slug/members" });
  const navigate = useNavigate({ from: "/o/$slug/members" });
  const [text, setText] = useState(search);
  useEffect(() => {
    if (text.trim() === search) return;
    const timer = setTimeout(() => {
      const given = text.trim() ? { search: text.trim() } : {};
      void navigate({
        search: ({ search: _, ...others }) => ({ ...others, ...given }),
        replace: true,
      });
    }, 300);
    return () => clearTimeout(timer);
  }, [text, search, navigate]);
  const members = useInfiniteQuery({
    ...queries.members.all(organization.id, search ? { search } : {}),
    placeholderData: (before) => before,
  });
  const explain = (user: string | null) =>
    void navigate({
      search: ({ member: _, ...others }) => user ? { ...others, member: user } : others,
      replace: true,
    });
  const seesSecurity = organization.permissions.includes("security:read");
  return (
    <>
      <search>
        <input
          type="search"
          aria-label="Search members"
          placeholder="Search names and addresses"
          className="field md:w-72"
          value={text}
          onChange={({ target }) => setText(target.value)}
        />
      </search>
      <Table
        label="Members"
        columns={[
          "Member",
          "Roles",
          ...(seesSecurity ? ["Second factor", "Signed in"] : []),
          { hidden: "Actions" },
        ]}
        rows={members.data?.pages.flat()}
        error={members.error}
        pages={members}
        empty={<Empty title="Nobody matches">Search for a part of a name or an address.</Empty>}
      >
        {(one) => (
          <Person
            key={one.user_id}
            member={one}
            organization={organization}
            seesSecurity={seesSecurity}
            onExplain={() => explain(one.user_id)}
          />
        )}
      </Table>
      <Why user={member} organization={organization} onClose={() => explain(null)} />
    </>
  );
}

function Person({ member, organization, seesSecurity, onExplain }: {
  member: Member;
  organization: Organization;
  seesSecurity: boolean;
  onExplain(): void;
}) {
  const { data: me } = useQuery(queries.whoami());
  const { user_id, name, email, roles, suspended, mfa_enrolled, last_sign_in_at } = member;
  const called = name ?? email ?? user_id;
  const { permissions } = organization;
  const isMe = me?.user.id === user_id;
  return (
    <Row data-member={email}>
      <Cell>
        <span className="flex items-center gap-2 whitespace-nowrap">
          <Initials name={called} />
          <span className="max-w-64 truncate font-medium">{called}</span>
          {name && email && <span className="max-w-64 truncate text-quiet">{email}</span>}
          {isMe && <Badge>you</Badge>}
          {suspended && <Badge tone="bad">suspended</Badge>}
        </span>
      </Cell>
      <Cell>
        <span className="flex items-center gap-1.5 whitespace-nowrap">
          {roles.map(({ role, active, starts_at, expires_at, source }) => (
            <span key={role + source} className="flex items-center gap-1 text-xs text-quiet">
              <Badge>{role}</Badge>
              {!active && (
                <>
                  from <Ago time={starts_at} />
                </>
              )}
              {expires_at && (
                <>
                  ends <Ago time={expires_at} />
                </>
              )}
            </span>
          ))}
        </span>
      </Cell>
      {seesSecurity && (
        <Cell>
          {mfa_enrolled ? <Badge tone="good">yes</Badge> : <Badge tone="warn">none</Badge>}
        </Cell>
      )}
      {seesSecurity && (
        <Cell className="text-quiet">
          {last_sign_in_at ? <Ago time={last_sign_in_at} /> : "never"}
        </Cell>
      )}
      <Actions>
        <button
          type="button"
          className="button plain h-7 px-2"
          aria-label={`Permissions of ${called}`}
          onClick={onExplain}
        >
          Permissions
        </button>
        {permissions.includes("role:grant") && (
          <ChangeRoles member={member} called={called} organization={organization} />
        )}
        {!isMe && permissions.includes("user:delete") && permissions.includes("role:grant") && (
          <Remove user={user_id} called={called} organization={organization} />
        )}
      </Actions>
    </Row>
  );
}
