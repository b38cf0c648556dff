import { useQuery } from "@tanstack/react-query";
import { useBulwarkQueries, useText } from "../blocks/provider.tsx";

/**
 * Names people by their ids; null organization: of the installation. Somebody who may not read names
 * sees the beginnings of ids.
 */
export function useNames(
  organization: string | null,
  ids: readonly (string | null | undefined)[],
  mayRead = true,
): (id: string | null) => string {
  const queries = useBulwarkQueries();
  const t = useText();
  const asked = [...new Set(ids.filter((id) => typeof id === "string"))].sort().slice(0, 1000);
  const { data: names } = useQuery({
    ...queries.members.names(organization, asked),
    enabled: mayRead && asked.length > 0,
    placeholderData: (before) => before,
  });
  return (id) => {
    if (id === null) return t("the operator");
    const found = names?.find(({ user_id }) => user_id === id);
    return found?.name ?? found?.email ?? `${id.slice(0, 8)}…`;
  };
}
