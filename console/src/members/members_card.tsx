import type { Member } from "@bulwark/client";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { type Organization, Text, useBulwarkQueries, useText } from "../blocks/provider.tsx";
import { Ago, Badge, Empty, Initials } from "../ui/parts.tsx";
import { Actions, Cell, Row, Table } from "../ui/table.tsx";
import { ChangeRoles } from "./member_roles.tsx";
import { Remove } from "./remove.tsx";
import type { MemberSearch } from "./search.ts";
import { Why } from "./why.tsx";

/** The people of an organization: searched, given roles, removed, and why each may do something. */
export function MembersCard({ organization, shown, onShow }: {
  organization: Organization;
  shown: MemberSearch;
  onShow(shown: MemberSearch): void;
}) {
  const queries = useBulwarkQueries();
  const t = useText();
  const { search = "", member = null } = shown;
  const [text, setText] = useState(search);
  useEffect(() => {
    if (text.trim() === search) return;
    const timer = setTimeout(() => {
      const { search: _, ...others } = shown;
      onShow(text.trim() ? { ...others, search: text.trim() } : others);
    }, 300);
    return () => clearTimeout(timer);
  }, [text, search, shown, onShow]);
  const members = useInfiniteQuery({
    ...queries.members.all(organization.id, search ? { search } : {}),
    placeholderData: (before) => before,
  });
  const explain = (user: string | null) => {
    const { member: _, ...others } = shown;
    onShow(user ? { ...others, member: user } : others);
  };
  const seesSecurity = organization.permissions.includes("security:read");
  return (
    <>
      <search>
        <input
          type="search"
          aria-label={t("Search members")}
          placeholder={t("Search names and addresses")}
          className="field md:w-72"
          value={text}
          onChange={({ target }) => setText(target.value)}
        />
      </search>
      <Table
        label={t("Members")}
        columns={[
          t("Member"),
          t("Roles"),
          ...(seesSecurity ? [t("Second factor"), t("Signed in")] : []),
          { hidden: t("Actions") },
        ]}
        rows={members.data?.pages.flat()}
        error={members.error}
        pages={members}
        empty={
          <Empty title={t("Nobody matches")}>
            {t("Search for a part of a name or an address.")}
          </Empty>
        }
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
  const queries = useBulwarkQueries();
  const t = useText();
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
          {isMe && <Badge>{t("you")}</Badge>}
          {suspended && <Badge tone="bad">{t("suspended")}</Badge>}
        </span>
      </Cell>
      <Cell>
        <span className="flex items-center gap-1.5 whitespace-nowrap">
          {roles.map(({ role, active, starts_at, expires_at, source }) => (
            <span key={role + source} className="flex items-center gap-1 text-xs text-quiet">
              <Badge>{role}</Badge>
              {!active && <Text of="from {time}" time={<Ago time={starts_at} />} />}
              {expires_at && <Text of="ends {time}" time={<Ago time={expires_at} />} />}
            </span>
          ))}
        </span>
      </Cell>
      {seesSecurity && (
        <Cell>
          {mfa_enrolled
            ? <Badge tone="good">{t("yes")}</Badge>
            : <Badge tone="warn">{t("none")}</Badge>}
        </Cell>
      )}
      {seesSecurity && (
        <Cell className="text-quiet">
          {last_sign_in_at ? <Ago time={last_sign_in_at} /> : t("never")}
        </Cell>
      )}
      <Actions>
        <button
          type="button"
          className="button plain h-7 px-2"
          aria-label={t("Permissions of {called}", { called })}
          onClick={onExplain}
        >
          {t("Permissions")}
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
