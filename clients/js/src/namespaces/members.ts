import type { Calls } from "../calls.ts";

/** Members of an organization. */
export function members<T extends boolean>({ select }: Calls<T>) {
  return {
    /** The grants of roles in an organization that the caller may see, with their windows. */
    grants: (organization: string) =>
      select(
        "user_roles",
        (query) => query.eq("organization_id", organization).order("created_at"),
      ),
  };
}
