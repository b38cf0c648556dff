import type { ReactNode } from "react";

/** A group of checkboxes, which scrolls if there are many. */
export function Choices({ label, children }: { label: string; children: ReactNode }) {
  return (
    <fieldset className="grid min-w-0 gap-1">
      <legend className="mb-1 font-medium">{label}</legend>
      <span
        role="group"
        aria-label={label}
        tabIndex={0}
        className="grid max-h-40 gap-1 overflow-auto rounded-md border border-line p-2"
      >
        {children}
      </span>
    </fieldset>
  );
}
