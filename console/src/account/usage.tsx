import { useQuery } from "@tanstack/react-query";
import { queries } from "../connection.ts";
import { Ago, Badge, Line, Lines, Section } from "../ui/parts.tsx";

const words: Record<string, string> = {
  verify: "A code of an app",
  backup_code: "A backup code",
  activate: "A factor was added",
  disable: "A factor was removed",
  regenerate: "New backup codes",
  trust: "A browser was trusted",
  trusted_device: "A trusted browser",
  reset: "Reset by an administrator",
  locked: "Locked after wrong codes",
};
const refused: Record<string, string> = { activate: "Wrong code while adding a factor" };

/** The newest uses of the person's own second factors. */
export function Usage() {
  const { data: found, error } = useQuery(queries.mfa.usage(10));
  // A factor that is added has two lines in the log: of its first code, and of the factor.
  const uses = found?.filter((use, index) => {
    const { event, succeeded, occurred_at } = found[index - 1] ?? {};
    return event !== use.event || succeeded !== use.succeeded ||
      Date.parse(occurred_at ?? "") - Date.parse(use.occurred_at) > 1000;
  });
  return (
    <Section
      title="Recent use"
      about="Wrong codes that you did not enter mean that somebody knows your password."
    >
      <Lines items={uses} error={error}>
        {({ id, event, succeeded, occurred_at }) => (
          <Line key={id}>
            <span className="min-w-32 flex-1">
              {(!succeeded && refused[event]) || (words[event] ?? event)}
            </span>
            {!succeeded && <Badge tone="bad">{event === "locked" ? "locked" : "refused"}</Badge>}
            <span className="text-quiet">
              <Ago time={occurred_at} />
            </span>
          </Line>
        )}
      </Lines>
    </Section>
  );
}
