import { BulwarkError, type Permission, type Rows } from "@bulwark/client";
import { queryOptions, useQuery } from "@tanstack/react-query";
import { database, queries } from "../connection.ts";
import type { Organization } from "../organization.tsx";

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

const contents = queryOptions({
  // Below "roles", so that each change of a role makes it out of date.
  queryKey: ["bulwark", "roles", "contents"],
  queryFn: async () => {
    const [permissions, inheritance, names] = await Promise.all([
      database.from("role_permissions").select("role_id,permission"),
      database.from("role_inheritance").select("role_id,inherits_role_id"),
      database.from("permissions").select("name,description").order("name"),
    ]);
    const failed = [permissions, inheritance, names].find(({ error }) => error !== null);
    if (failed?.error) {
      const { code, message } = failed.error;
      throw new BulwarkError({ code: code as never, message, status: failed.status });
    }
    return {
      permissions: (permissions.data ?? []) as { role_id: string; permission: string }[],
      inheritance: (inheritance.data ?? []) as { role_id: string; inherits_role_id: string }[],
      names: (names.data ?? []) as { name: Permission; description: string }[],
    };
  },
});

/** The roles of an organization with their contents, highest first, and the list of permissions. */
export function useRoles(organization: Organization) {
  const list = useQuery(queries.roles.list(organization.id));
  const found = useQuery(contents);
  const error = list.error ?? found.error as BulwarkError | null;
  if (!list.data || !found.data) return { error, roles: null, permissions: null };
  const { permissions, inheritance, names } = found.data;
  const inheritedBy = (id: string) =>
    inheritance.filter(({ role_id }) => role_id === id).map((row) => row.inherits_role_id);
  const ownOf = (id: string) =>
    permissions.filter(({ role_id }) => role_id === id).map(({ permission }) => permission);
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
  return { error: null, roles, permissions: names };
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
