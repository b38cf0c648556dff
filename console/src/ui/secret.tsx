/** Secrets that are shown this once. */
import { Dialog } from "@base-ui/react/dialog";
import type { ReactNode } from "react";
import { useText } from "../blocks/provider.tsx";
import { useCopied } from "./copied.ts";

/** A button that copies a text. Its label says which. */
export function CopyButton({ text, label }: { text: string; label: string }) {
  const t = useText();
  const [result, copy] = useCopied(text);
  return (
    <button type="button" className="button" aria-label={result ? undefined : label} onClick={copy}>
      {result === "copied"
        ? t("Copied")
        : result === "refused"
        ? t("Select and copy it")
        : t("Copy")}
    </button>
  );
}

/** A secret in full, with a button that copies it. */
export function Secret({ text, label }: { text: string; label: string }) {
  return (
    <span className="flex items-center gap-2">
      <code
        data-secret
        className="min-w-0 flex-1 rounded-md border border-line bg-page px-2 py-1.5 font-mono text-xs break-all text-ink"
      >
        {text}
      </code>
      <CopyButton text={text} label={label} />
    </span>
  );
}

/**
 * A dialog with something that nobody can read later. Only its button closes it. Its element has
 * `data-shown-once`, by which an application can keep its page open.
 */
export function ShownOnce({ title, about, done, onDone, children }: {
  title: string;
  about: string;
  /** The button that closes it. */
  done: string;
  onDone(): void;
  children: ReactNode;
}) {
  return (
    <Dialog.Root open disablePointerDismissal>
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop" />
        <Dialog.Popup className="dialog" data-shown-once>
          <Dialog.Title className="text-lg font-semibold break-words">{title}</Dialog.Title>
          <Dialog.Description className="text-quiet">{about}</Dialog.Description>
          {children}
          <button type="button" className="button primary justify-self-end" onClick={onDone}>
            {done}
          </button>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
