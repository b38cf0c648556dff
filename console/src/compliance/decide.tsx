import type { ReviewedAccess } from "@bulwark/client";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { queries } from "../connection.ts";
import type { Organization } from "../organization.tsx";
import { Confirm } from "../ui/confirm.tsx";
import { Problem } from "../ui/parts.tsx";

/** Keeps an access or ends it, once and for good. */
export function Decide({ item, called, organization }: {
  item: ReviewedAccess;
  called: string;
  organization: Organization;
}) {
  const keep = useMutation(queries.reviews.keep());
  const { permissions } = organization;
  const mayEnd = item.api_key_id === null
    ? permissions.includes("user:delete") && permissions.includes("role:grant")
    : permissions.includes("api_key:revoke");
  return (
    <>
      <Problem error={keep.error} />
      <button
        type="button"
        className="button plain h-7 px-2"
        aria-label={`Keep ${called}`}
        disabled={keep.isPending || item.version === null}
        onClick={() => item.version !== null && keep.mutate([item.id, item.version])}
      >
        Keep
      </button>
      {mayEnd && <End item={item} called={called} />}
    </>
  );
}

function End({ item, called }: { item: ReviewedAccess; called: string }) {
  const end = useMutation(queries.reviews.end());
  const [note, setNote] = useState("");
  return (
    <Confirm
      trigger="End"
      label={`End ${called}`}
      title={`End the access of ${called}?`}
      action="End access"
      plain
      mutation={end}
      onConfirm={(close) =>
        end.mutate(note.trim() ? [item.id, note.trim()] : [item.id], { onSuccess: close })}
    >
      {item.api_key_id === null
        ? "They lose every role here with the next request, and their API keys stop."
        : "Programs with this key are refused from their next call on, for good."}
      <label className="mt-3 grid gap-1 font-medium text-ink">
        Note
        <input
          className="field font-normal"
          maxLength={500}
          value={note}
          onChange={({ target }) => setNote(target.value)}
        />
      </label>
    </Confirm>
  );
}
