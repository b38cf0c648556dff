import { useMutation } from "@tanstack/react-query";
import { type Organization, useBulwarkQueries, useText } from "../blocks/provider.tsx";
import { Confirm } from "../ui/confirm.tsx";

/** Ends one's own membership. */
export function Leave({ organization, onLeft }: {
  organization: Organization;
  onLeft(): void;
}) {
  const queries = useBulwarkQueries();
  const t = useText();
  const leave = useMutation(queries.organizations.leave());
  return (
    <Confirm
      trigger={t("Leave")}
      title={t("Leave {name}?", { name: organization.name })}
      action={t("Leave")}
      mutation={leave}
      onConfirm={() => leave.mutate([organization.id], { onSuccess: onLeft })}
    >
      {t("Your roles there end at once. Somebody has to invite you to come back.")}
    </Confirm>
  );
}
