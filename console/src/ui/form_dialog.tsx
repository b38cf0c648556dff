import { Dialog } from "@base-ui/react/dialog";
import type { BulwarkError } from "@bulwark/client";
import { type FormEvent, type ReactNode, useId, useState } from "react";
import { useText } from "../blocks/provider.tsx";
import { Problem } from "./parts.tsx";

/** A button that opens a form. The input stays when the call is refused. */
export function FormDialog(
  {
    trigger,
    label,
    look = "",
    danger = false,
    disabled = false,
    title,
    about,
    action,
    mutation,
    onSubmit,
    children,
  }: {
    trigger: ReactNode;
    /** The name of the button, if its text alone does not tell. */
    label?: string;
    /** Classes of the button, such as `primary`. */
    look?: string;
    /** Whether it takes something away for good. */
    danger?: boolean;
    /** Whether there is nothing to do now. */
    disabled?: boolean;
    title: string;
    about?: ReactNode;
    action: string;
    mutation: { error: BulwarkError | null; isPending: boolean; reset(): void };
    onSubmit(form: FormData, close: () => void): void;
    children?: ReactNode;
  },
) {
  const t = useText();
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
      <Dialog.Trigger aria-label={label} className={`button ${look}`} disabled={disabled}>
        {trigger}
      </Dialog.Trigger>
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop" />
        <Dialog.Popup className="dialog">
          <Dialog.Title className="text-lg font-semibold break-words">{title}</Dialog.Title>
          {about && <Dialog.Description className="text-quiet">{about}</Dialog.Description>}
          <form onSubmit={submit} className="grid gap-4">
            {children}
            <Problem error={mutation.error} />
            <div className="flex justify-end gap-2">
              <Dialog.Close className="button">{t("Cancel")}</Dialog.Close>
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

/** A choice among a few values, with its label above. */
export function Choice({ label, options, ...select }: React.ComponentProps<"select"> & {
  label: string;
  options: Readonly<Record<string, string>>;
}) {
  const t = useText();
  return (
    <label className="grid content-start gap-1 font-medium">
      {label}
      <select {...select} className="field font-normal">
        {Object.entries(options).map(([value, text]) => (
          <option key={value} value={value}>{t(text)}</option>
        ))}
      </select>
    </label>
  );
}

/** A yes or no, with the consequence below. */
export function Check({ label, hint, ...input }: React.ComponentProps<"input"> & {
  label: string;
  hint: string;
}) {
  const id = useId();
  return (
    <div className="grid grid-cols-[auto_minmax(0,1fr)] gap-x-2">
      <input
        id={id}
        type="checkbox"
        aria-describedby={`${id}-hint`}
        {...input}
        className="mt-0.5 size-4 accent-accent"
      />
      <label htmlFor={id} className="font-medium">{label}</label>
      <span id={`${id}-hint`} className="col-start-2 text-xs text-quiet">{hint}</span>
    </div>
  );
}
