import { Dialog } from "@base-ui/react/dialog";
import { type ReactNode, useRef } from "react";
import { useText } from "../blocks/provider.tsx";

/** Shows one item of a list at the right; null closes it. */
export function Drawer<Item>({ item, onClose, children }: {
  item: Item | null;
  onClose(): void;
  children(item: Item): ReactNode;
}) {
  // The last one stays while the drawer closes.
  const last = useRef(item);
  if (item !== null) last.current = item;
  return (
    <Dialog.Root open={item !== null} onOpenChange={(open) => open || onClose()}>
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop" />
        <Dialog.Popup className="fixed inset-y-0 right-0 z-20 w-[36rem] max-w-full overflow-auto border-l border-line bg-raised p-5 shadow-xl">
          {last.current !== null && <div className="grid gap-5">{children(last.current)}</div>}
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

/** The title of a drawer, and its close button. */
export function DrawerHead({ title, children }: { title: string; children: ReactNode }) {
  const t = useText();
  return (
    <div className="flex items-start gap-3">
      <div className="min-w-0 flex-1">
        <Dialog.Title className="text-lg font-semibold break-words">{title}</Dialog.Title>
        <Dialog.Description className="text-quiet" render={<div />}>{children}</Dialog.Description>
      </div>
      <Dialog.Close className="button plain px-2" aria-label={t("Close")}>×</Dialog.Close>
    </div>
  );
}

/** A value of any shape, as JSON. */
export function Json({ title, value }: { title: string; value: unknown }) {
  return (
    <section aria-label={title}>
      <h3 className="mb-1 font-semibold">{title}</h3>
      <pre
        tabIndex={0}
        className="max-h-96 overflow-auto rounded-md border border-line bg-page p-3 font-mono text-xs"
      >
        {typeof value === "string" ? value : JSON.stringify(value, null, 2)}
      </pre>
    </section>
  );
}

/** An exact time in the reader's language. */
export function exactly(time: string): string {
  return new Date(time).toLocaleString(undefined, { dateStyle: "full", timeStyle: "long" });
}
