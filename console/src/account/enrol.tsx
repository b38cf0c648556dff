import { Dialog } from "@base-ui/react/dialog";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useBulwarkQueries, useText } from "../blocks/provider.tsx";
import { Field, Problem } from "../ui/parts.tsx";
import { Secret } from "../ui/secret.tsx";

/** Adds an authenticator app: its QR code, then the first code that it shows. */
export function Enrol(
  { first, onCodes }: { first: boolean; onCodes(codes: readonly string[]): void },
) {
  const queries = useBulwarkQueries();
  const t = useText();
  const [open, setOpen] = useState(false);
  const enroll = useMutation(queries.mfa.enroll());
  const activate = useMutation({
    ...queries.mfa.activate(),
    onSuccess: ({ backup_codes }) => {
      change(false);
      if (backup_codes) onCodes(backup_codes);
    },
  });
  // Forgets the secret and the codes, too.
  const change = (next: boolean): void => {
    setOpen(next);
    enroll.reset();
    activate.reset();
  };
  const text = (event: FormEvent<HTMLFormElement>, name: string) => {
    event.preventDefault();
    return String(new FormData(event.currentTarget).get(name)).trim();
  };
  return (
    <Dialog.Root open={open} onOpenChange={change}>
      <Dialog.Trigger className={first ? "button primary" : "button"}>
        {t("Add second factor")}
      </Dialog.Trigger>
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop" />
        <Dialog.Popup className="dialog">
          <Dialog.Title className="text-lg font-semibold">{t("Add a second factor")}</Dialog.Title>
          {enroll.data
            ? (
              <form
                onSubmit={(event) => activate.mutate([text(event, "code")])}
                className="grid gap-4"
              >
                <p>
                  {t("Scan this with your authenticator app, then enter the code that it shows.")}
                </p>
                <img
                  src={`data:image/svg+xml,${encodeURIComponent(enroll.data.qr_svg)}`}
                  alt={t("QR code of the key below")}
                  className="size-44 justify-self-center rounded-md"
                />
                <div className="grid gap-1">
                  <span className="text-quiet">{t("Cannot scan? Enter this key:")}</span>
                  <Secret text={enroll.data.secret} label={t("Copy the key")} />
                </div>
                <Field
                  label={t("Code")}
                  name="code"
                  inputMode="numeric"
                  autoComplete="one-time-code"
                  required
                  autoFocus
                />
                <Problem error={activate.error} />
                <div className="flex justify-end gap-2">
                  <Dialog.Close className="button">{t("Cancel")}</Dialog.Close>
                  <button type="submit" className="button primary" disabled={activate.isPending}>
                    {t("Activate")}
                  </button>
                </div>
              </form>
            )
            : (
              <form
                onSubmit={(event) => enroll.mutate([text(event, "name")])}
                className="grid gap-4"
              >
                <Field
                  label={t("Name")}
                  name="name"
                  defaultValue={t("Phone")}
                  maxLength={50}
                  required
                  hint={t("To tell it from others that you add later")}
                />
                <Problem error={enroll.error} />
                <div className="flex justify-end gap-2">
                  <Dialog.Close className="button">{t("Cancel")}</Dialog.Close>
                  <button type="submit" className="button primary" disabled={enroll.isPending}>
                    {t("Continue")}
                  </button>
                </div>
              </form>
            )}
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
