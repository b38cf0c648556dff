import { Dialog } from "@base-ui/react/dialog";
import type { BulwarkError } from "@bulwark/client";
import { type ReactNode, useState } from "react";
import { useText } from "../blocks/provider.tsx";
import { Problem } from "./parts.tsx";

/** A button that asks before it does something that cannot be undone. */
export function Confirm({ trigger, label, title, action, plain, mutation, onConfirm, children }: {
  trigger: string;
  label?: string;
  title: string;
  action: string;
  plain?: boolean;
  mutation: { error: BulwarkError | null; isPending: boolean; reset(): void };
  onConfirm(close: () => void): void;
  children: ReactNode;
}) {
  const t = useText();
  const [open, setOpen] = useState(false);
  const change = (next: boolean) => {
    mutation.reset();
    setOpen(next);
  };
  return (
    <Dialog.Root open={open} onOpenChange={change}>
      <Dialog.Trigger
        aria-label={label}
        className={`button danger ${plain ? "plain h-7 px-2" : ""}`}
      >
        {trigger}
      </Dialog.Trigger>
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop" />
        <Dialog.Popup className="dialog">
          <Dialog.Title className="text-lg font-semibold break-words">{title}</Dialog.Title>
          <Dialog.Description className="text-quiet">{children}</Dialog.Description>
          <Problem error={mutation.error} />
          <div className="flex justify-end gap-2">
            <Dialog.Close className="button">{t("Cancel")}</Dialog.Close>
            <button
              type="button"
              className="button danger"
              disabled={mutation.isPending}
              onClick={() => onConfirm(() => setOpen(false))}
            >
              {action}
            </button>
          </div>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
