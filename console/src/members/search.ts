/** The filter of the list of members; the console keeps it in the address. */
export interface MemberSearch {
  search?: string;
  /** The member whose permissions are open. */
  member?: string;
}

/** Reads it from an address; ignores other values. */
export function readMembers({ search, member }: Record<string, unknown>): MemberSearch {
  return {
    ...typeof search === "string" && search ? { search } : {},
    ...typeof member === "string" && member ? { member } : {},
  };
}
