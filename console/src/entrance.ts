import { known, queries } from "./connection.ts";

/**
 * Where somebody begins: at the screen that they asked for; else in their only organization, unless
 * an invitation waits for them.
 */
export async function entrance(asked?: string): Promise<string> {
  if (asked !== undefined && asked !== "/") return asked;
  const { organizations } = await known.fetchQuery(queries.whoami());
  const [only, ...others] = organizations;
  if (!only || others.length > 0) return "/";
  const invitations = await known.fetchQuery(queries.invitations.mine()).catch(() => []);
  return invitations.length > 0 ? "/" : `/o/${only.slug}`;
}
