import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { queries } from "../connection.ts";
import { Confirm } from "../ui/confirm.tsx";

/** Revokes a key for a reason, which the audit log keeps. */
export function Revoke({ id, name }: { id: string; name: string }) {
  const revoke = useMutation(queries.apiKeys.revoke());
  const [because, setBecause] = useState("");
  return (
    <Confirm
      trigger="Revoke"
      label={`Revoke ${name}`}
      title={`Revoke ${name}?`}
      action="Revoke"
      plain
      mutation={revoke}
      onConfirm={(close) => revoke.mutate([id, because], { onSuccess: close })}
    >
      Programs with this key are refused from their next call on, for good.
      <label className="mt-3 grid gap-1 font-medium text-ink">
        Reason
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
