import { useMutation } from "@tanstack/react-query";
import { type Organization, useBulwarkQueries, useText } from "../blocks/provider.tsx";
import { Confirm } from "../ui/confirm.tsx";

/** Removes somebody, after a question. */
export function Remove({ user, called, organization }: {
  user: string;
  called: string;
  organization: Organization;
}) {
  const queries = useBulwarkQueries();
  const t = useText();
  const remove = useMutation(queries.members.remove());
  return (
    <Confirm
      trigger={t("Remove")}
      label={t("Remove {called}", { called })}
      title={t("Remove {called}?", { called })}
      action={t("Remove")}
      plain
      mutation={remove}
      onConfirm={(close) => remove.mutate([organization.id, user], { onSuccess: close })}
    >
      {t("All roles in {name} end with the next request, and API keys stop with them.", {
        name: organization.name,
      })}
    </Confirm>
  );
}
