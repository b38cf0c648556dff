import { type Calls, firstOrNull } from "../calls.ts";
import type { Args } from "../overlay.ts";

/** Organizations of the caller. */
export function organizations<T extends boolean>({ rpc, select }: Calls<T>) {
  return {
    /** The organizations that the caller may see, by name. */
    list: () => select("organizations", (query) => query.order("name")),
    /** One organization; null if there is none that the caller may see. */
    get: (organization: string) =>
      select(
        "organizations",
        (query) => query.eq("id", organization),
        firstOrNull,
      ),
    /** Creates an organization; the caller becomes its administrator, or somebody else. */
    create: (organization: Args<"create_organization">) => rpc("create_organization", organization),
    update: (organization: string, change: Omit<Args<"update_organization">, "organization_id">) =>
      rpc("update_organization", { organization_id: organization, ...change }),
    /** Gives up all roles that the caller has there. */
    leave: (organization: string) => rpc("leave_organization", { organization_id: organization }),
    /** Deletes an organization with everything in it; its slug confirms that. */
    delete: (organization: string, slug: string) =>
      rpc("delete_organization", { organization_id: organization, confirm_slug: slug }),
  };
}
