import type { ReactNode } from "react";

/** Names and values, in two columns. */
export function Facts({ children }: { children: ReactNode }) {
  return (
    <dl className="grid content-start grid-cols-[minmax(7rem,10.5rem)_minmax(0,1fr)] items-center gap-x-6 gap-y-1.5">
      {children}
    </dl>
  );
}

export function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt className="self-start text-quiet">{name}</dt>
      <dd className="min-w-0 break-words">{children}</dd>
    </>
  );
}
