import { Link, useSearch } from "@tanstack/react-router";

/** The part of a screen that the address names; the first by default. */
export function usePart<Part extends string>(parts: Readonly<Record<Part, string>>): Part {
  const { part } = useSearch({ strict: false }) as { part?: string };
  const [first] = Object.keys(parts) as Part[];
  return part !== undefined && Object.hasOwn(parts, part) ? part as Part : first!;
}

/** Links to the parts of a screen, each of which has its address. */
export function Tabs<Part extends string>({ label, parts, current }: {
  label: string;
  parts: Readonly<Partial<Record<Part, string>>>;
  current: Part;
}) {
  return (
    <nav
      aria-label={label}
      className="flex gap-4 overflow-x-auto shadow-[inset_0_-1px] shadow-line"
    >
      {(Object.entries(parts) as [Part, string][]).map(([part, name]) => (
        <Link
          key={part}
          to="."
          search={(now: object) => ({ ...now, part })}
          aria-current={part === current ? "page" : undefined}
          className={`flex h-9 items-center border-b-2 font-medium whitespace-nowrap ${
            part === current
              ? "border-accent text-ink"
              : "border-transparent text-quiet hover:text-ink"
          }`}
        >
          {name}
        </Link>
      ))}
    </nav>
  );
}
