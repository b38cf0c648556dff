import { useMutation } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { queries } from "../connection.ts";
import type { Organization } from "../organization.tsx";
import { Confirm } from "../ui/confirm.tsx";

/** Removes somebody, after a question. */
export function Remove({ user, called, organization }: {
  user: string;
  called: string;
  organization: Organization;
}) {
  const remove = useMutation(queries.members.remove());
  return (
    <Confirm
      trigger="Remove"
      label={`Remove ${called}`}
      title={`Remove ${called}?`}
      action="Remove"
      plain
      mutation={remove}
      onConfirm={(close) => remove.mutate([organization.id, user], { onSuccess: close })}
    >
      All roles in {organization.name} end with the next request, and API keys stop with them.
    </Confirm>
  );
}

/** Ends one's own membership. */
export function Leave({ organization }: { organization: Organization }) {
  const navigate = useNavigate();
  const leave = useMutation(queries.organizations.leave());
  return (
    <Confirm
      trigger="Leave"
      title={`Leave ${organization.name}?`}
      action="Leave"
      mutation={leave}
      onConfirm={() =>
        leave.mutate([organization.id], { onSuccess: () => void navigate({ to: "/" }) })}
    >
      Your roles there end at once. Somebody has to invite you to come back.
    </Confirm>
  );
}
