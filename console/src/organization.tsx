import type { Permission } from "@bulwark/client";
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { Organization } from "./blocks/provider.tsx";
import { queries } from "./connection.ts";
import { Missing } from "./failed.tsx";
import { Refused, Skeleton, useTitle } from "./ui/parts.tsx";

export type { Organization };

/** The screens of an organization, each for those with one of its permissions, or for all members. */
const places = [
  { to: "/o/$slug", name: "Overview", needs: [] },
  { to: "/o/$slug/audit", name: "Audit log", needs: ["audit:read"] },
  { to: "/o/$slug/members", name: "Members", needs: ["user:read"] },
  { to: "/o/$slug/roles", name: "Roles", needs: ["role:read"] },
  { to: "/o/$slug/keys", name: "API keys", needs: ["api_key:create", "api_key:read"] },
  { to: "/o/$slug/events", name: "Security events", needs: ["security:read"] },
  { to: "/o/$slug/mfa", name: "MFA", needs: ["security:read", "mfa:reset", "settings:write"] },
  { to: "/o/$slug/webhooks", name: "Webhooks", needs: ["webhook:read"] },
  { to: "/o/$slug/encryption", name: "Encryption", needs: ["encryption:rotate"] },
  { to: "/o/$slug/compliance", name: "Compliance", needs: ["compliance:read"] },
] as const;

/** Those of them that are open to the person. */
export function placesOf({ permissions }: Organization) {
  return places.filter(({ needs }) =>
    needs.length === 0 || needs.some((one) => permissions.includes(one))
  );
}

/** The screen that an organization opens with. */
export const start = "/o/$slug";

/**
 * A screen about the organization in the address, for those with one of the permissions there; without
 * one for all members.
 */
export function OfOrganization({ title, permission, children }: {
  title: string;
  permission?: Permission | readonly Permission[];
  children(organization: Organization): ReactNode;
}) {
  const { slug } = useParams({ strict: false });
  const { data: me } = useQuery(queries.whoami());
  const organization = me?.organizations.find((one) => one.slug === slug);
  useTitle(title, organization?.name);
  if (me && !organization) return <Missing />;
  if (!organization) return <Skeleton />;
  const needed = [permission ?? []].flat();
  if (!permission || needed.some((one) => organization.permissions.includes(one))) {
    return children(organization);
  }
  if (!organization.mfa_met) {
    return (
      <Refused title={title}>
        {organization.name} requires a second factor.{" "}
        <Link to="/account" className="link">Add one in My security</Link>.
      </Refused>
    );
  }
  return (
    <Refused title={title}>
      An administrator of {organization.name} can give you a role with {needed[0]}.
    </Refused>
  );
}
