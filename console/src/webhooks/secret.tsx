import { useMutation } from "@tanstack/react-query";
import { useBulwarkQueries, useText } from "../blocks/provider.tsx";
import { Choice, FormDialog } from "../ui/form_dialog.tsx";
import { overlaps } from "../ui/overlaps.ts";
import { Secret as SecretText, ShownOnce } from "../ui/secret.tsx";

/** A signing secret that was just made. */
export interface Secret {
  endpoint: string;
  name: string;
  secret: string;
}

/** A signing secret, which is shown this once. */
export function ShownSecret({ shown, onKept }: { shown: Secret; onKept(): void }) {
  const t = useText();
  return (
    <ShownOnce
      title={t("Keep the signing secret of {name}", { name: shown.name })}
      about={t(
        "The receiver verifies messages with it. It is shown this once, and nobody can read it " +
          "later.",
      )}
      done={t("I have kept it")}
      onDone={onKept}
    >
      <div role="status" data-issued>
        <SecretText text={shown.secret} label={t("Copy the secret")} />
      </div>
    </ShownOnce>
  );
}

/** Gives an endpoint a new secret; the old one signs beside it for a while. */
export function RotateSecret({ endpoint, name, onMade }: {
  endpoint: string;
  name: string;
  onMade(secret: Secret): void;
}) {
  const queries = useBulwarkQueries();
  const t = useText();
  const rotate = useMutation(queries.webhooks.rotateSecret());
  return (
    <FormDialog
      trigger={t("Rotate secret")}
      title={t("Rotate the secret of {name}", { name })}
      about={t("Messages are signed with both secrets during the overlap, so none is refused.")}
      action={t("Rotate")}
      mutation={rotate}
      onSubmit={(form, close) =>
        rotate.mutate([endpoint, { overlap_seconds: Number(form.get("overlap")) }], {
          onSuccess: ({ secret }) => {
            onMade({ endpoint, name, secret });
            close();
            // Forgets the secret.
            rotate.reset();
          },
        })}
    >
      <Choice
        label={t("The old secret signs, too")}
        name="overlap"
        options={overlaps}
        defaultValue="86400"
      />
    </FormDialog>
  );
}
