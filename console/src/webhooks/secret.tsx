import { useMutation } from "@tanstack/react-query";
import { queries } from "../connection.ts";
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
  return (
    <Section
      title={`Keep the signing secret of ${shown.name}`}
      about="The receiver verifies messages with it. It is shown this once, and nobody can read it later."
      action={<button type="button" className="button" onClick={onKept}>I have kept it</button>}
    >
      <div role="status" className="border-t border-line px-4 py-3" data-issued>
        <Copy text={shown.secret} label="Copy the secret">{shown.secret}</Copy>
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
  const rotate = useMutation(queries.webhooks.rotateSecret());
  return (
    <FormDialog
      trigger="Rotate secret"
      title={`Rotate the secret of ${name}`}
      about="Messages are signed with both secrets during the overlap, so none is refused."
      action="Rotate"
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
        label="The old secret signs, too"
        name="overlap"
        options={overlaps}
        defaultValue="86400"
      />
    </FormDialog>
  );
}
