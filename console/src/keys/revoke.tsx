import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { useBulwarkQueries, useText } from "../blocks/provider.tsx";
import { Confirm } from "../ui/confirm.tsx";

/** Revokes a key for a reason, which the audit log keeps. */
export function Revoke({ id, name }: { id: string; name: string }) {
  const queries = useBulwarkQueries();
  const t = useText();
  const revoke = useMutation(queries.apiKeys.revoke());
  const [because, setBecause] = useState("");
  return (
    <Confirm
      trigger={t("Revoke")}
      label={t("Revoke {name}", { name })}
      title={t("Revoke {name}?", { name })}
      action={t("Revoke")}
      plain
      mutation={revoke}
      onConfirm={(close) => revoke.mutate([id, because], { onSuccess: close })}
    >
      {t("Programs with this key are refused from their next call on, for good.")}
      <label className="mt-3 grid gap-1 font-medium text-ink">
        {t("Reason")}
        <input
          className="field font-normal"
          maxLength={500}
          value={because}
          onChange={({ target }) => setBecause(target.value)}
        />
      </label>
    </Confirm>
  );
}
