import { useInfiniteQuery } from "@tanstack/react-query";
import { queries } from "../connection.ts";
import type { Organization } from "../organization.tsx";
import { Initials, Problem, Skeleton } from "../ui/parts.tsx";
import { nameOf } from "./people.tsx";

const number = new Intl.NumberFormat();

/** The members who would lose access when a second factor becomes required, as of now. */
export function LockedOut({ organization, from }: {
  organization: Organization;
  /** When it becomes required; null: at once. */
  from: Date | null;
}) {
  const missing = useInfiniteQuery(queries.mfa.everyone(organization.id, { state: "missing" }));
  const people = missing.data?.pages.flat().filter(({ suspended }) => !suspended);
  if (missing.error) return <Problem error={missing.error} />;
  if (!people) return <Skeleton lines={1} />;
  if (people.length === 0) {
    return <p role="status" className="text-quiet">Every member has a second factor.</p>;
  }
  const amount = `${number.format(people.length)}${missing.hasNextPage ? " or more" : ""} ${
    people.length === 1 ? "member has" : "members have"
  } no second factor`;
  const time = from?.toLocaleDateString(undefined, { dateStyle: "long" });
  return (
    <section
      aria-label="Without a second factor"
      className="grid gap-2 rounded-md bg-warn-soft px-3 py-2"
    >
      <p role="status" className="text-warn">
        {amount}, and {people.length === 1 ? "loses" : "lose"} access here{" "}
        {time ? `on ${time} without one:` : "at once:"}
      </p>
      <ul tabIndex={0} className="grid max-h-32 gap-1 overflow-auto" data-locked-out>
        {people.map((person) => (
          <li key={person.user_id} className="flex min-w-0 items-center gap-2">
            <Initials name={nameOf(person)} />
            <span className="truncate">{nameOf(person)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
