import { Dialog } from "@base-ui/react/dialog";
import type { BulwarkError } from "@bulwark/client";
import { type FormEvent, type ReactNode, useState } from "react";
import { Problem } from "./parts.tsx";

/** A button that opens a form. A refusal keeps what was typed. */
export function FormDialog(
  { trigger, label, title, action, look = "", danger = false, mutation, onSubmit, children }: {
    trigger: ReactNode;
    /** The name of the button, if the trigger alone does not say it. */
    label?: string;
    title: string;
    action: string;
    /** Classes of the button: `primary`, or `plain h-7 px-2` in a table. */
    look?: string;
    /** Whether it takes something away for good. */
    danger?: boolean;
    mutation: { error: BulwarkError | null; isPending: boolean; reset(): void };
    onSubmit(form: FormData, close: () => void): void;
    children: ReactNode;
  },
) {
  const [open, setOpen] = useState(false);
  const change = (next: boolean) => {
    if (mutation.isPending) return;
    mutation.reset();
    setOpen(next);
  };
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    onSubmit(new FormData(event.currentTarget), () => setOpen(false));
  };
  return (
    <Dialog.Root open={open} onOpenChange={change}>
      <Dialog.Trigger aria-label={label} className={`button ${look}`}>{trigger}</Dialog.Trigger>
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop" />
        <Dialog.Popup className="dialog">
          <Dialog.Title className="text-lg font-semibold break-words">{title}</Dialog.Title>
          <form onSubmit={submit} className="grid gap-4">
            {children}
            <Problem error={mutation.error} />
            <div className="flex justify-end gap-2">
              <Dialog.Close className="button">Cancel</Dialog.Close>
              <button
                type="submit"
                className={`button ${danger ? "danger" : "primary"}`}
                disabled={mutation.isPending}
              >
                {action}
              </button>
            </div>
          </form>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
