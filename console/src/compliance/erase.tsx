import type { BulwarkError } from "@bulwark/client";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { bulwark, known, queries } from "../connection.ts";
import type { Organization } from "../organization.tsx";
import { count } from "../ui/count.ts";
import { FormDialog } from "../ui/form_dialog.tsx";
import { Field, Section } from "../ui/parts.tsx";
import type { Chosen } from "./choose_members.tsx";

const number = new Intl.NumberFormat();

interface Erased {
  removed: number;
  kept: number;
  archived: string[];
}

/** Removes what the log knows of a person, after it was said what will be lost. */
export function Erase({ person, organization }: { person: Chosen; organization: Organization }) {
  const [progress, setProgress] = useState(0);
  const erase = useMutation<Erased, BulwarkError, string>({
    mutationFn: async (reason) => {
      const all: Erased = { removed: 0, kept: 0, archived: [] };
      // A step reads a part of the log.
      let after: string | null | undefined;
      while (after !== null) {
        const step = await bulwark.audit.erase({
          user_id: person.id,
          organization_id: organization.id,
          reason,
          after,
        });
        all.removed += step.removed;
        all.kept += step.kept;
        all.archived = step.archived as string[];
        after = step.next_after;
        setProgress(all.removed);
      }
      return all;
    },
    onSettled: () => known.invalidateQueries({ queryKey: queries.audit.queryKey }),
  });
  return (
    <Section
      title="Erase"
      about="For a request under Art. 17 GDPR. Run it before the account is deleted, and once after."
    >
      <div className="grid justify-items-start gap-3 border-t border-line px-4 py-3">
        <FormDialog
          trigger="Erase"
          look="danger"
          danger
          title={`Erase ${person.name}?`}
          action={erase.isPending ? `${number.format(progress)} removed` : "Erase for good"}
          mutation={erase}
          onSubmit={(form, close) =>
            erase.mutate(String(form.get("reason")).trim(), { onSuccess: close })}
        >
          <ul className="grid list-disc gap-1 pl-4 text-quiet">
            <li>
              Lost: the contents of every entry in the log of {organization.name}{" "}
              that they made or that names them, and invitations to their addresses.
            </li>
            <li>
              Kept: critical entries, entries of category security, and what a legal hold on
              something else keeps. A hold on this person refuses the erasure.
            </li>
            <li>Kept: the account, its roles and keys, and rows of your own tables.</li>
            <li>The log stays provable, and records the erasure with your reason.</li>
          </ul>
          <p className="font-medium text-bad">Nobody can bring it back.</p>
          <Field label="Reason" name="reason" required maxLength={500} />
          <Field
            label={`Type ${person.name}`}
            name="confirmation"
            required
            autoComplete="off"
            pattern={literal(person.name)}
            title={person.name}
          />
        </FormDialog>
        {erase.data && (
          <p role="status" className="text-good" data-erased={erase.data.removed}>
            {count(erase.data.removed, "entry was", "entries were")} emptied,{" "}
            {number.format(erase.data.kept)} kept as evidence.
            {erase.data.archived.length > 0 &&
              ` Archived months are not reached: ${erase.data.archived.join(", ")}.`}
          </p>
        )}
      </div>
    </Section>
  );
}

/** A pattern that only this text matches. */
function literal(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}
