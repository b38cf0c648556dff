import type { IssuedApiKey } from "@bulwark/client";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { useBulwarkQueries, useText } from "../blocks/provider.tsx";
import { Choice, FormDialog } from "../ui/form_dialog.tsx";
import { overlaps } from "../ui/overlaps.ts";

/** Issues a successor of a key, after a question. The old key works for a while beside it. */
export function Rotate({ id, name, endsAt, onIssued }: {
  id: string;
  name: string;
  endsAt: string;
  onIssued(issued: IssuedApiKey): void;
}) {
  const queries = useBulwarkQueries();
  const t = useText();
  const rotate = useMutation(queries.apiKeys.rotate());
  const [overlap, setOverlap] = useState("86400");
  const until = Math.min(Date.now() + Number(overlap) * 1000, Date.parse(endsAt));
  return (
    <FormDialog
      trigger={t("Rotate")}
      label={t("Rotate {name}", { name })}
      look="plain h-7 px-2"
      title={t("Rotate {name}?", { name })}
      about={overlap === "0"
        ? t("A new key is made. The old key is refused from its next call on.")
        : t("A new key is made. The old key works until {time}, so programs can change over.", {
          time: new Date(until).toLocaleString(undefined, {
            dateStyle: "medium",
            timeStyle: "short",
          }),
        })}
      action={t("Rotate")}
      mutation={rotate}
      onSubmit={(_form, close) =>
        rotate.mutate([id, { overlap: `${overlap} seconds` }], {
          onSuccess: (issued) => {
            onIssued(issued);
            close();
            // Forgets the key.
            rotate.reset();
          },
        })}
    >
      <Choice
        label={t("The old key works")}
        options={overlaps}
        value={overlap}
        onChange={({ target }) => setOverlap(target.value)}
      />
    </FormDialog>
  );
}
