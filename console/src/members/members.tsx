import type { Member } from "@bulwark/client";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { queries } from "../connection.ts";
import { OfOrganization, type Organization } from "../organization.tsx";
import { Ago, Badge, Empty, Heading, Initials, Problem, Skeleton } from "../ui/parts.tsx";
import { Leave, Remove } from "./ending.tsx";
import { Invitations, Invite } from "./invitations.tsx";
import { ChangeRoles } from "./member_roles.tsx";

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
  const [text, setText] = useState("");
  const [search, setSearch] = useState("");
  useEffect(() => {
    const timer = setTimeout(() => setSearch(text.trim()), 300);
    return () => clearTimeout(timer);
  }, [text]);
  const members = useInfiniteQuery({
    ...queries.members.all(organization.id, search ? { search } : {}),
    placeholderData: (before) => before,
  });
  const people = members.data?.pages.flat() ?? [];
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
      <Problem error={members.error} />
      <div className="card relative overflow-x-auto" role="group" aria-label="Members" tabIndex={0}>
        {members.isPending
          ? <Skeleton lines={5} />
          : people.length === 0
          ? (
            <Empty title={members.error ? "The members could not be read" : "Nobody matches"}>
              {!members.error && "Search for a part of a name or an address."}
            </Empty>
          )
          : (
            <table className="w-full text-left">
              <thead>
                <tr className="h-8 border-b border-line">
                  <th scope="col" className="cell-head px-3">Member</th>
                  <th scope="col" className="cell-head px-3">Roles</th>
                  {seesSecurity && <th scope="col" className="cell-head px-3">Second factor</th>}
                  {seesSecurity && <th scope="col" className="cell-head px-3">Signed in</th>}
                  <th scope="col" className="cell-head px-3">
                    <span className="sr-only">Actions</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {people.map((member) => (
                  <Row
                    key={member.user_id}
                    member={member}
                    organization={organization}
                    seesSecurity={seesSecurity}
                  />
                ))}
              </tbody>
            </table>
          )}
      </div>
      {members.hasNextPage && (
        <button
          type="button"
          className="button justify-self-start"
          disabled={members.isFetchingNextPage}
          onClick={() => members.fetchNextPage()}
        >
          Show more
        </button>
      )}
    </>
  );
}

function Row({ member, organization, seesSecurity }: {
  member: Member;
  organization: Organization;
  seesSecurity: boolean;
}) {
  const { data: me } = useQuery(queries.whoami());
  const { user_id, name, email, roles, suspended, mfa_enrolled, last_sign_in_at } = member;
  const called = name ?? email ?? user_id;
  const { permissions } = organization;
  const isMe = me?.user.id === user_id;
  return (
    <tr className="h-9 border-b border-line last:border-0 hover:bg-hover" data-member={email}>
      <td className="px-3">
        <span className="flex items-center gap-2 whitespace-nowrap">
          <Initials name={called} />
          <span className="max-w-64 truncate font-medium">{called}</span>
          {name && email && <span className="max-w-64 truncate text-quiet">{email}</span>}
          {isMe && <Badge>you</Badge>}
          {suspended && <Badge tone="bad">suspended</Badge>}
        </span>
      </td>
      <td className="px-3">
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
      </td>
      {seesSecurity && (
        <td className="px-3">
          {mfa_enrolled ? <Badge tone="good">yes</Badge> : <Badge tone="warn">none</Badge>}
        </td>
      )}
      {seesSecurity && (
        <td className="px-3 text-quiet">
          {last_sign_in_at ? <Ago time={last_sign_in_at} /> : "never"}
        </td>
      )}
      <td className="px-3">
        <span className="flex justify-end gap-1">
          {permissions.includes("role:grant") && (
            <ChangeRoles member={member} called={called} organization={organization} />
          )}
          {!isMe && permissions.includes("user:delete") && permissions.includes("role:grant") && (
            <Remove user={user_id} called={called} organization={organization} />
          )}
        </span>
      </td>
    </tr>
  );
}
