import { useQuery } from "@tanstack/react-query";
import { queries } from "../connection.ts";

/** The number of open security events, in the navigation. */
export function OpenEvents({ organization }: { organization: string }) {
  const { data: open } = useQuery({
    ...queries.security.open(organization),
    refetchInterval: 30_000,
  });
  if (!open) return null;
  const { low, medium, high, critical } = open;
  const all = low + medium + high + critical;
  if (all === 0) return null;
  const shade = high + critical > 0 ? "bg-bad-soft text-bad" : "bg-warn-soft text-warn";
  return (
    <span
      data-open-events={all}
      className={`ml-auto rounded-sm px-1.5 text-xs leading-5 font-medium ${shade}`}
    >
      {all >= 1000 ? "1,000+" : all}
      <span className="sr-only">open</span>
    </span>
  );
}
