import { Link } from "@tanstack/react-router";
import { OfOrganization, type Organization } from "../organization.tsx";
import { Badge } from "../ui/parts.tsx";
import { Mark } from "../ui/mark.tsx";
import { type Check, useChecks } from "./checks.tsx";

/** Whether everything is all right in an organization, and where it is not. */
export function Overview() {
  return (
    <OfOrganization title="Overview">
      {(organization) => <Checks key={organization.id} organization={organization} />}
    </OfOrganization>
  );
}

function Checks({ organization }: { organization: Organization }) {
  const checks = useChecks(organization);
  return (
    <>
      <div className="flex min-h-8 flex-wrap items-center gap-x-3 gap-y-1">
        <h1 className="text-xl font-semibold break-words">{organization.name}</h1>
        <span className="font-mono text-xs text-quiet">{organization.slug}</span>
        <span className="flex flex-wrap gap-1.5">
          {organization.roles.map((role) => <Badge key={role}>{role}</Badge>)}
        </span>
      </div>
      <section aria-label="Is everything all right?" className="card max-w-5xl overflow-hidden">
        <Answer checks={checks} />
        <ul>
          {checks.map((check) => <Line key={check.name} check={check} slug={organization.slug} />)}
        </ul>
      </section>
    </>
  );
}

const answers = {
  good: { shape: "✓", colour: "bg-good-soft text-good", text: "Everything is all right." },
  look: { shape: "▲", colour: "bg-warn-soft text-warn", text: "Nothing is urgent." },
  bad: { shape: "■", colour: "bg-bad-soft text-bad", text: "Something needs you now." },
  unknown: { shape: "?", colour: "bg-hover text-quiet", text: "Not everything could be asked." },
} as const;

/** The worst of all checks, in one sentence. */
function Answer({ checks }: { checks: readonly Check[] }) {
  const found = checks.map(({ standing }) => standing);
  if (found.includes(null)) {
    return (
      <div className="px-4 py-4">
        <div className="skeleton h-4 w-full max-w-xs rounded-sm bg-hover" />
      </div>
    );
  }
  const worst = (["bad", "unknown", "look"] as const).find((one) => found.includes(one)) ?? "good";
  const { shape, colour, text } = answers[worst];
  const amount = found.filter((standing) => standing !== "good").length;
  return (
    <div role="status" data-answer={worst} className={`flex gap-3 px-4 py-3 ${colour}`}>
      <span aria-hidden className="text-lg leading-6">{shape}</span>
      <p className="text-lg font-semibold">
        {text}
        {amount > 0 && (
          <span className="font-normal">
            {" "}
            {amount} of {checks.length} {amount === 1 ? "line is" : "lines are"} worth a look.
          </span>
        )}
      </p>
    </div>
  );
}

const line =
  "grid min-h-9 grid-cols-[4.5rem_minmax(0,1fr)_1rem] items-baseline gap-x-3 px-4 py-2 md:grid-cols-[4.5rem_9rem_minmax(0,1fr)_1rem]";

function Line({ check: { name, standing, text, to }, slug }: { check: Check; slug: string }) {
  const content = (
    <>
      {standing
        ? <Mark standing={standing} />
        : <span className="skeleton h-3 w-12 self-center rounded-sm bg-hover" />}
      <span className="font-medium">{name}</span>
      <span className="col-start-2 row-start-2 text-quiet md:col-start-3 md:row-start-1">
        {standing
          ? text
          : (
            <span className="skeleton inline-block h-3 w-64 max-w-full rounded-sm bg-hover">
              <span className="sr-only">Loading</span>
            </span>
          )}
      </span>
    </>
  );
  return (
    <li data-check={name} data-standing={standing} className="border-t border-line">
      {to === null
        ? <div className={line}>{content}</div>
        : (
          <Link to={to} params={{ slug }} className={`${line} hover:bg-hover`}>
            {content}
            <span aria-hidden className="col-start-3 row-start-1 text-quiet md:col-start-4">›</span>
          </Link>
        )}
    </li>
  );
}
