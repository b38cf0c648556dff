import type { ReviewedAccess } from "@bulwark/client";

const days = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

interface MemberAccess {
  role: string;
  expires_at: string | null;
}

interface KeyAccess {
  name: string;
  first_characters: string;
  scopes: string[];
  expires_at: string;
}

/** Access in words: the name of a key, and what it opens. */
export function wordsOf({ access, api_key_id }: ReviewedAccess): { key?: string; opens: string } {
  if (access === null) return { opens: "nothing any more" };
  if (api_key_id === null) {
    const roles = access as MemberAccess[];
    const opens = roles.map(({ role, expires_at }) =>
      expires_at === null ? role : `${role} until ${days.format(new Date(expires_at))}`
    );
    return { opens: opens.join(", ") };
  }
  const { name, first_characters, scopes, expires_at } = access as KeyAccess;
  return {
    key: `${name} (${first_characters}…)`,
    opens: `${scopes.join(", ")} until ${days.format(new Date(expires_at))}`,
  };
}
