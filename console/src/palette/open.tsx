import { lazy, Suspense, useEffect, useRef, useState } from "react";

const load = () => import("./palette.tsx");
const Palette = lazy(load);

const modifier = /Mac|iPhone|iPad/.test(navigator.platform) ? "⌘" : "Ctrl ";

/** The palette, which ⌘K and Ctrl K open and close. It is loaded while the page is idle. */
export function PaletteByKeys({ open, onOpenChange }: {
  open: boolean;
  onOpenChange(open: boolean): void;
}) {
  const [needed, setNeeded] = useState(false);
  if (open && !needed) setNeeded(true);
  const toggle = useRef(() => {});
  toggle.current = () => onOpenChange(!open);
  useEffect(() => {
    const idle = setTimeout(load, 2000);
    const press = (event: KeyboardEvent) => {
      if (event.key.toLowerCase() !== "k" || event.altKey || event.shiftKey) return;
      if (event.metaKey === event.ctrlKey) return;
      event.preventDefault();
      toggle.current();
    };
    addEventListener("keydown", press);
    return () => {
      clearTimeout(idle);
      removeEventListener("keydown", press);
    };
  }, []);
  return needed && (
    <Suspense>
      <Palette open={open} onOpenChange={onOpenChange} />
    </Suspense>
  );
}

/** Opens the palette by a click. */
export function PaletteButton({ onClick }: { onClick(): void }) {
  return (
    <button
      type="button"
      aria-keyshortcuts="Meta+K Control+K"
      className="button w-full justify-between bg-page px-2 font-normal text-quiet"
      onPointerEnter={() => void load()}
      onClick={onClick}
    >
      Search
      <kbd aria-hidden className="font-sans text-xs">{modifier}K</kbd>
    </button>
  );
}
