import { Dialog } from "@base-ui/react/dialog";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useSyncExternalStore } from "react";
import { useBulwarkQueries, useText } from "./blocks/provider.tsx";
import { stepUp } from "./step_up.ts";
import { Field, Problem } from "./ui/parts.tsx";

/** Asks for a second factor while a call waits in `stepUp.ask`, which is then repeated. */
export function StepUpDialog() {
  const queries = useBulwarkQueries();
  const t = useText();
  const open = useSyncExternalStore(stepUp.subscribe, stepUp.isOpen, () => false);
  const verify = useMutation(queries.mfa.verify());
  const close = (verified: true | null) => {
    verify.reset();
    stepUp.answer(verified);
  };
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const code = String(new FormData(event.currentTarget).get("code")).trim();
    verify.mutate([code], { onSuccess: () => close(true) });
  };
  return (
    <Dialog.Root open={open} onOpenChange={(next) => next || close(null)}>
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop" />
        <Dialog.Popup className="dialog">
          <Dialog.Title className="text-lg font-semibold">
            {t("Confirm that it is you")}
          </Dialog.Title>
          <Dialog.Description className="text-quiet">
            {t("This needs a second factor of the last minutes.")}
          </Dialog.Description>
          <form onSubmit={submit} className="grid gap-4">
            <Field
              label={t("Code")}
              name="code"
              autoComplete="one-time-code"
              required
              hint={t("Six digits of your authenticator app, or a backup code")}
            />
            <Problem error={verify.error} />
            <div className="flex justify-end gap-2">
              <Dialog.Close className="button">{t("Cancel")}</Dialog.Close>
              <button type="submit" className="button primary" disabled={verify.isPending}>
                {t("Confirm")}
              </button>
            </div>
          </form>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
