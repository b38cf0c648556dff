import { known, queries } from "./connection.ts";

/**
 * The first screen after signing in: the one that was asked for; otherwise the person's only
 * organization, unless an invitation waits for them.
 */
export async function entrance(asked?: string): Promise<string> {
  if (asked !== undefined && asked !== "/") return asked;
  const { organizations } = await known.fetchQuery(queries.whoami());
  const [only, ...others] = organizations;
  if (!only || others.length > 0) return "/";
  const invitations = await known.fetchQuery(queries.invitations.mine()).catch(() => []);
  return invitations.length > 0 ? "/" : `/o/${only.slug}`;
}
