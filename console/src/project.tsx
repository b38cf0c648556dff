import type { Permission, Whoami } from "@bulwark/client";
import { useQuery } from "@tanstack/react-query";
import type { LinkProps } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { queries } from "./connection.ts";
import { Refused, Skeleton, useTitle } from "./ui/parts.tsx";

/** A screen about the whole project, for those with one of the permissions system-wide. */
interface Place {
  to: NonNullable<LinkProps["to"]>;
  name: string;
  needs: readonly Permission[];
}

const places: readonly Place[] = [
  { to: "/project/metrics", name: "Metrics", needs: ["system:monitor"] },
  { to: "/project/rate-limits", name: "Rate limits", needs: ["system:admin"] },
  { to: "/project/encryption", name: "Encryption", needs: ["encryption:rotate"] },
  { to: "/project/settings", name: "Settings and health", needs: ["system:admin"] },
];

/** The screens of the project that are open to the person. */
export function projectPlacesOf({ permissions }: Whoami): readonly Place[] {
  return places.filter(({ needs }) => needs.some((one) => permissions.includes(one)));
}

/** A screen about the whole project, for those with one of the permissions system-wide. */
export function OfProject({ title, permission, children }: {
  title: string;
  permission: Permission | readonly Permission[];
  children(): ReactNode;
}) {
  const { data: me } = useQuery(queries.whoami());
  useTitle(title, "Project");
  if (!me) return <Skeleton />;
  const needed = [permission].flat();
  if (needed.some((one) => me.permissions.includes(one))) return children();
  return (
    <Refused title={title}>
      This is for the operators of the project: system-wide roles with {needed[0]}.
    </Refused>
  );
}
