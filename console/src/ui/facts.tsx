import type { ReactNode } from "react";

/** Names and values, in two columns. */
export function Facts({ wide = false, children }: {
  /** Whether names are long. */
  wide?: boolean;
  children: ReactNode;
}) {
  const columns = wide
    ? "grid-cols-[minmax(7rem,10.5rem)_minmax(0,1fr)] gap-x-6"
    : "grid-cols-[7rem_minmax(0,1fr)] gap-x-4";
  return (
    <dl className={`grid content-start items-center gap-y-1.5 ${columns}`}>
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
