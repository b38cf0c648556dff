import type { Permission } from "@bulwark/client";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type Organization, Text, useBulwarkQueries, useText } from "../blocks/provider.tsx";
import { Drawer, DrawerHead } from "../ui/drawer.tsx";
import { Ago, Badge, Empty, Problem, Select, Skeleton } from "../ui/parts.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { pathTo, useRoles } from "./roles.ts";

/** Tells the permissions of a member and which role gives each, and why one is missing. */
export function Why({ user, organization, onClose }: {
  user: string | null;
  organization: Organization;
  onClose(): void;
}) {
  return (
    <Drawer item={user} onClose={onClose}>
      {(shown) => <Content key={shown} user={shown} organization={organization} />}
    </Drawer>
  );
}

function Content({ user, organization }: { user: string; organization: Organization }) {
  const queries = useBulwarkQueries();
  const t = useText();
  const names = useQuery(queries.members.names(organization.id, [user]));
  const held = useQuery(queries.roles.of(user, organization.id));
  const { roles, permissions, error } = useRoles(organization);
  const [found] = names.data ?? [];
  const called = found?.name ?? found?.email ?? `${user.slice(0, 8)}…`;
  const active = new Set(
    held.data?.filter((one) => one.active).map(({ role }) => role),
  );
  const granted = roles?.filter(({ role }) => active.has(role.name)) ?? [];
  const allowed = permissions?.flatMap(({ name, description }) => {
    const ways = granted.flatMap(({ role }) => {
      const path = pathTo(role.name, name, roles ?? []);
      return path ? [path] : [];
    });
    return ways.length > 0 ? [{ name, description, ways }] : [];
  });
  const failed = held.error ?? error;
  return (
    <>
      <DrawerHead title={t("Permissions of {called}", { called })}>
        {t("In {name}, and which role gives it.", { name: organization.name })}
      </DrawerHead>
      <Problem error={failed} />
      {!held.data && !failed && <Skeleton />}
      <ul aria-label={t("Roles")} className="grid gap-1">
        {held.data?.map(({ role, active: now, starts_at, expires_at }) => (
          <li key={role + starts_at} className="flex min-h-6 flex-wrap items-center gap-2">
            <Badge>{role}</Badge>
            <span className="text-quiet">
              {now
                ? t("since")
                : Date.parse(starts_at) > Date.now()
                ? t("from")
                : t("not in force; from")} <Ago time={starts_at} />
              {expires_at && <Text of=", ends {time}" time={<Ago time={expires_at} />} />}
            </span>
          </li>
        ))}
      </ul>
      {permissions && (
        <Question
          user={user}
          called={called}
          organization={organization}
          permissions={permissions}
        />
      )}
      {held.data && (
        <Table
          label={t("Permissions")}
          columns={[t("Permission"), t("Through")]}
          rows={allowed}
          empty={
            <Empty title={t("No permission")}>
              {t("No role that is in force gives {called} anything here.", { called })}
            </Empty>
          }
        >
          {({ name, description, ways }) => (
            <Row key={name} data-permission={name}>
              <Cell className="py-1.5 align-baseline font-mono text-xs whitespace-nowrap">
                <span title={description}>{name}</span>
              </Cell>
              <Cell className="py-1.5 align-baseline">
                {ways.map((path) => (
                  <span key={path.join()} className="block">{path.join(" → ")}</span>
                ))}
              </Cell>
            </Row>
          )}
        </Table>
      )}
    </>
  );
}

/** Asks the database about one permission, also about one that the member does not have. */
function Question({ user, called, organization, permissions }: {
  user: string;
  called: string;
  organization: Organization;
  permissions: readonly { name: Permission }[];
}) {
  const queries = useBulwarkQueries();
  const t = useText();
  const [asked, setAsked] = useState("");
  const { data: answers, error } = useQuery({
    ...queries.roles.explain(user, asked as Permission, organization.id),
    enabled: asked !== "",
  });
  return (
    <div className="grid gap-1">
      <Select
        label={t("May {called} …?", { called })}
        value={asked}
        onChange={({ target }) => setAsked(target.value)}
      >
        <option value="">{t("Choose a permission")}</option>
        {permissions.map(({ name }) => <option key={name} value={name}>{name}</option>)}
      </Select>
      <Problem error={error} />
      {answers && asked && (
        <div role="status" className="grid gap-1">
          {answers.map((answer, index) => (
            <p
              key={index}
              className={`rounded-md px-3 py-2 ${
                answer.allowed ? "bg-good-soft text-good" : "bg-warn-soft text-warn"
              }`}
            >
              <span aria-hidden className="mr-2">{answer.allowed ? "✓" : "▲"}</span>
              <Answer {...answer} />
            </p>
          ))}
        </div>
      )}
    </div>
  );
}

function Answer({ allowed, reason, role, inherited_from, system_wide, starts_at, expires_at }: {
  allowed: boolean;
  reason: string;
  role: string | null;
  inherited_from: string | null;
  system_wide: boolean | null;
  starts_at: string | null;
  expires_at: string | null;
}) {
  const t = useText();
  if (role === null) {
    return reason === "no_role"
      ? t("No: there is no role in this organization.")
      : t("No: no role of theirs contains it.");
  }
  const name = inherited_from && inherited_from !== role
    ? t("{role}, which inherits {inherited}", { role, inherited: inherited_from })
    : role;
  const by = t(system_wide ? "the system-wide role {name}" : "the role {name}", { name });
  if (allowed) {
    return expires_at
      ? <Text of="Yes: by {by}, which ends {time}." by={by} time={<Ago time={expires_at} />} />
      : t("Yes: by {by}.", { by });
  }
  const because = reason === "not_started"
    ? <Text of="begins {time}" time={<Ago time={starts_at ?? ""} />} />
    : reason === "expired"
    ? <Text of="ended {time}" time={<Ago time={expires_at ?? ""} />} />
    : reason === "mfa_required"
    ? t("needs a second factor in this session")
    : t("does not count while the account is suspended");
  return <Text of="Not now: {by}, {because}." by={by} because={because} />;
}
