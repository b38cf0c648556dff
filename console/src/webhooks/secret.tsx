import { useMutation } from "@tanstack/react-query";
import { useBulwarkQueries, useText } from "../blocks/provider.tsx";
import { Choice, FormDialog } from "../ui/form_dialog.tsx";
import { Copy, Section } from "../ui/parts.tsx";

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
    <Section
      title={t("Keep the signing secret of {name}", { name: shown.name })}
      about={t(
        "The receiver verifies messages with it. It is shown this once, and nobody can read it " +
          "later.",
      )}
      action={
        <button type="button" className="button" onClick={onKept}>{t("I have kept it")}</button>
      }
    >
      <div role="status" className="border-t border-line px-4 py-3" data-issued>
        <Copy text={shown.secret} label={t("Copy the secret")}>{shown.secret}</Copy>
      </div>
    </Section>
  );
}

const overlaps = {
  86400: "For a day",
  3600: "For an hour",
  604800: "For a week",
  0: "Not at all: it leaked",
};

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
