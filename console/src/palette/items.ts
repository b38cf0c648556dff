import type { Whoami } from "@bulwark/client";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { queries } from "../connection.ts";
import { type Organization, placesOf, start } from "../organization.tsx";
import { projectPlacesOf } from "../project.tsx";
import { signOut } from "../session.ts";
import { chooseTheme, themes } from "../theme.ts";
import { uuid } from "../ui/uuid.ts";

/** Something that the palette leads to or does. */
export interface Item {
  id: string;
  group: string;
  name: string;
  detail?: string | undefined;
  /** Other words by which it is found. */
  keywords?: string | undefined;
  run(): void;
}

/** The screens, organizations, members, entries and actions that match what was typed. */
export function useItems(text: string): { items: readonly Item[]; searching: boolean } {
  const { data: me } = useQuery(queries.whoami());
  const { slug } = useParams({ strict: false });
  const navigate = useNavigate();
  const organization = me?.organizations.find((one) => one.slug === slug) ?? me?.organizations[0];
  const members = useMembers(organization, text);
  if (!me) return { items: [], searching: true };
  if (uuid.test(text)) {
    return { items: entriesOf(me, organization, text.toLowerCase(), navigate), searching: false };
  }
  const fixed = [...screens(me, organization, navigate), ...actions(organization, navigate)];
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const matching = fixed.filter(({ name, group, detail = "", keywords = "" }) => {
    const all = `${name} ${group} ${detail} ${keywords}`.toLowerCase();
    return words.every((word) => all.includes(word));
  });
  const people = members.data.map(({ user_id, name, email }): Item => ({
    id: `member-${user_id}`,
    group: "Members",
    name: name ?? email ?? user_id,
    detail: name && email ? email : undefined,
    run: () =>
      void navigate({
        to: "/o/$slug/members",
        params: { slug: organization?.slug ?? "" },
        search: { member: user_id },
      }),
  }));
  return { items: [...matching, ...people], searching: members.searching };
}

/** Other words for screens. */
const keywords: Record<string, string> = {
  "/o/$slug/members": "people users invitations grant access",
  "/o/$slug/roles": "permissions rbac",
  "/o/$slug/keys": "token rotate revoke",
  "/o/$slug/mfa": "second factor 2fa policy reset",
  "/o/$slug/webhooks": "rotate secret deliveries",
  "/o/$slug/encryption": "rotate",
  "/project/encryption": "rotate",
  "/o/$slug/compliance": "report export review hold erase gdpr",
};

type Navigate = ReturnType<typeof useNavigate>;

function screens(me: Whoami, organization: Organization | undefined, navigate: Navigate): Item[] {
  const params = { slug: organization?.slug ?? "" };
  const inOrganization = organization ? placesOf(organization) : [];
  return [
    ...inOrganization.map(({ to, name }): Item => ({
      id: to,
      group: "Screens",
      name,
      detail: organization?.name,
      keywords: keywords[to],
      run: () => void navigate({ to, params }),
    })),
    ...organization?.permissions.includes("audit:read")
      ? [{
        id: "verify",
        group: "Screens",
        name: "Verify and export the audit log",
        detail: organization.name,
        keywords: "download proof intact tamper",
        run: () => void navigate({ to: "/o/$slug/verify", params }),
      }, {
        id: "exports",
        group: "Screens",
        name: "Exports in the audit log",
        detail: organization.name,
        keywords: "who exported data download",
        run: () => void navigate({ to: "/o/$slug/audit", params, search: { group: "exports" } }),
      }]
      : [],
    ...projectPlacesOf(me).map(({ to, name }): Item => ({
      id: to,
      group: "Screens",
      name,
      detail: "Project",
      keywords: keywords[to],
      run: () => void navigate({ to }),
    })),
    {
      id: "account",
      group: "Screens",
      name: "My security",
      keywords: "second factor 2fa mfa totp backup codes sessions devices account",
      run: () => void navigate({ to: "/account" }),
    },
    {
      id: "home",
      group: "Screens",
      name: "All organizations",
      run: () => void navigate({ to: "/" }),
    },
    ...me.organizations.map(({ id, name, slug }): Item => ({
      id,
      group: "Organizations",
      name,
      detail: slug,
      run: () => void navigate({ to: start, params: { slug } }),
    })),
  ];
}

function actions(organization: Organization | undefined, navigate: Navigate): Item[] {
  const { slug = "", permissions = [] } = organization ?? {};
  const possible = [
    { id: "invite", name: "Invite somebody", needs: "user:create", to: "/o/$slug/members" },
    { id: "key", name: "Make an API key", needs: "api_key:create", to: "/o/$slug/keys" },
    { id: "role", name: "Make a role", needs: "role:manage", to: "/o/$slug/roles" },
  ] as const;
  return [
    ...possible.filter(({ needs }) => permissions.includes(needs)).map((
      { id, name, to },
    ): Item => ({
      id,
      group: "Actions",
      name,
      detail: organization?.name,
      run: () => void navigate({ to, params: { slug }, search: { open: id } }),
    })),
    ...themes.map(({ theme, name }): Item => ({
      id: `theme-${theme}`,
      group: "Actions",
      name,
      keywords: "theme colours dark mode light mode",
      run: () => chooseTheme(theme),
    })),
    {
      id: "sign-out",
      group: "Actions",
      name: "Sign out",
      keywords: "log out logout",
      run: () => void signOut(),
    },
  ];
}

/** An id is offered as an entry of each log that is open to the person, the present one first. */
function entriesOf(
  { organizations }: Whoami,
  current: Organization | undefined,
  entry: string,
  navigate: Navigate,
): Item[] {
  return organizations.filter(({ permissions }) => permissions.includes("audit:read"))
    .toSorted((one, other) => Number(other.id === current?.id) - Number(one.id === current?.id))
    .map(({ id, name, slug }): Item => ({
      id: `entry-${id}`,
      group: "Entries",
      name: `Entry ${entry.slice(0, 8)}…`,
      detail: `in the audit log of ${name}`,
      run: () => void navigate({ to: "/o/$slug/audit", params: { slug }, search: { entry } }),
    }));
}

/** Members whose name or address matches, of somebody who may see them. */
function useMembers(organization: Organization | undefined, text: string) {
  const [search, setSearch] = useState("");
  useEffect(() => {
    const timer = setTimeout(() => setSearch(text), 150);
    return () => clearTimeout(timer);
  }, [text]);
  const worth = text.length >= 2 && !uuid.test(text) &&
    (organization?.permissions.includes("user:read") ?? false);
  const found = useQuery({
    ...queries.members.list(organization?.id ?? "", { search, page_size: 5 }),
    enabled: worth && search.length >= 2,
    placeholderData: (before) => before,
  });
  return {
    data: worth && found.data ? found.data : [],
    searching: worth && (search !== text || found.isFetching),
  };
}
