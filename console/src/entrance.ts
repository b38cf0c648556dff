import { known, queries } from "./connection.ts";

/** Where somebody begins: in their only organization, unless an invitation waits for them. */
export async function entrance(): Promise<string> {
  const { organizations } = await known.fetchQuery(queries.whoami());
  const [only, ...others] = organizations;
  if (!only || others.length > 0) return "/";
  const invitations = await known.fetchQuery(queries.invitations.mine()).catch(() => []);
  return invitations.length > 0 ? "/" : `/o/${only.slug}`;
}
