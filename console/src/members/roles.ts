import type { Rows } from "@bulwark/client";
import { useQuery } from "@tanstack/react-query";
import { type Organization, useBulwarkQueries } from "../blocks/provider.tsx";

/** A role, and what it allows: itself, and through the roles that it inherits. */
export interface RoleContents {
  role: Rows["roles"];
  own: ReadonlySet<string>;
  inherited: ReadonlySet<string>;
  /** The names of the roles that it inherits directly. */
  inherits: string[];
  /** Whether the person may give it: neither above theirs, nor with more than they have. */
  mayGive: boolean;
  /** Why not. */
  beyond: "above your own role" | "allows more than you may" | null;
}

/** The roles of an organization with their contents, highest first, and the list of permissions. */
export function useRoles(organization: Organization) {
  const queries = useBulwarkQueries();
  const list = useQuery(queries.roles.list(organization.id));
  const contents = useQuery(queries.roles.contents());
  const inheritance = useQuery(queries.roles.inheritance());
  const names = useQuery(queries.roles.permissions());
  const error = list.error ?? contents.error ?? inheritance.error ?? names.error;
  if (!list.data || !contents.data || !inheritance.data || !names.data) {
    return { error, roles: null, permissions: null };
  }
  const inheritedBy = (id: string) =>
    inheritance.data.filter(({ role_id }) => role_id === id).map((row) => row.inherits_role_id);
  const ownOf = (id: string) =>
    contents.data.filter(({ role_id }) => role_id === id).map(({ permission }) => permission);
  const below = (id: string, seen = new Set<string>()): Set<string> => {
    for (const next of inheritedBy(id)) {
      if (!seen.has(next)) below(next, seen.add(next));
    }
    return seen;
  };
  const held = new Set<string>(organization.permissions);
  const rank = Math.max(
    -1,
    ...list.data.filter(({ name }) => organization.roles.includes(name)).map(({ level }) => level),
  );
  const roles = list.data.map((role): RoleContents => {
    const own = new Set(ownOf(role.id));
    const inherited = new Set([...below(role.id)].flatMap(ownOf));
    const beyond = role.level > rank
      ? "above your own role"
      : [...own, ...inherited].every((name) => held.has(name))
      ? null
      : "allows more than you may";
    return {
      role,
      own,
      inherited,
      inherits: list.data.filter(({ id }) => inheritedBy(role.id).includes(id))
        .map(({ name }) => name),
      mayGive: beyond === null,
      beyond,
    };
  });
  return { error: null, roles, permissions: names.data };
}

/** The shortest way from a role to the one that holds a permission itself; null if there is none. */
export function pathTo(
  role: string,
  permission: string,
  roles: readonly RoleContents[],
): string[] | null {
  const byName = new Map(roles.map((one) => [one.role.name, one]));
  const paths = [[role]];
  const seen = new Set([role]);
  for (const path of paths) {
    const last = byName.get(path.at(-1)!);
    if (last?.own.has(permission)) return path;
    for (const next of last?.inherits ?? []) {
      if (!seen.has(next)) paths.push([...path, next]);
      seen.add(next);
    }
  }
  return null;
}
