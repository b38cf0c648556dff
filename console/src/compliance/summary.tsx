import type { ReactNode } from "react";
import type { Report } from "../../../scripts/compliance/shapes.ts";
import { count } from "../ui/count.ts";
import { Fact, Facts } from "../ui/facts.tsx";
import { Ago, Badge } from "../ui/parts.tsx";

const number = new Intl.NumberFormat();

/** A report in figures. The files have everything. */
export function Summary({ report }: { report: Report }) {
  const { access, mfa, api_keys: keys, reviews, events, log } = report;
  const { settings, holds_in_force, archived_months } = report.retention_rules;
  return (
    <div
      className="grid gap-x-12 gap-y-6 border-t border-line px-4 py-4 xl:grid-cols-2"
      data-report={report.entry}
    >
      <Group name="The log">
        <Verification report={report} />
        <Fact name="Entries">
          {number.format(log.entries)}
          {!log.complete && (
            <span className="text-warn">
              , read from <Ago time={log.read_since} /> on. Make another report for the time before.
            </span>
          )}
        </Fact>
        <Fact name="Privileged acts">{number.format(report.privileged.total)}</Fact>
        <Fact name="Grants made, ended">{number.format(report.grants.total)}</Fact>
        <Fact name="Incidents">{number.format(report.incidents.total)}</Fact>
        <Fact name="Removals">{number.format(report.retention.total)}</Fact>
      </Group>
      <Group name="Access">
        <Fact name="Members">
          {number.format(access.members_total)}, of them{" "}
          {count(access.administrators, "administrator", "administrators")};{" "}
          {number.format(access.pending_invitations)} invited
        </Fact>
        <Fact name="Second factor">
          {number.format(mfa.enrolled)} of {count(mfa.members, "member", "members")}{" "}
          {mfa.missing.length > 0 && (
            <Badge tone={mfa.required_from ? "bad" : "warn"}>
              {number.format(mfa.members - mfa.enrolled)} without
            </Badge>
          )}
        </Fact>
        <Fact name="API keys">
          {number.format(keys.in_force)} in force, {number.format(keys.unused_for_90_days)}{" "}
          unused for 90 days, {number.format(keys.older_than_180_days)} older than 180
        </Fact>
        <Fact name="Access reviews">
          {number.format(reviews.open)} open
          {reviews.last_closed_at
            ? (
              <>
                , the last closed <Ago time={reviews.last_closed_at} />
              </>
            )
            : ", none was ever closed"}{" "}
          {reviews.overdue > 0 && <Badge tone="bad">{reviews.overdue} overdue</Badge>}
        </Fact>
        <Fact name="Security events">
          {number.format(events.open)} open, {number.format(events.resolved_in_range)}{" "}
          resolved in this time
        </Fact>
      </Group>
      <Group name="Retention">
        {Object.entries(settings).sort().map(([name, value]) => (
          <Fact key={name} name={words[name] ?? name}>
            {typeof value === "number" ? count(value, "day", "days") : "not set"}
          </Fact>
        ))}
        <Fact name="Legal holds">{number.format(holds_in_force.length)} in force</Fact>
        <Fact name="Archived months">{archived_months.join(", ") || "none"}</Fact>
      </Group>
    </div>
  );
}

const words: Record<string, string> = {
  "audit.archive_after_days": "Log is archived after",
  "audit.keep_days": "Log is kept",
  "audit.retention_days": "Contents of entries",
  "mfa.reset_days": "Resets of second factors",
  "mfa.usage_log_days": "Uses of second factors",
  "rate_limits.violation_days": "Refusals by limits",
  "rbac.invitation_retention_days": "Ended invitations",
  "security.resolved_retention_days": "Resolved events",
};

function Group({ name, children }: { name: string; children: ReactNode }) {
  return (
    <section aria-label={name}>
      <h3 className="mb-2 font-semibold">{name}</h3>
      <Facts wide>{children}</Facts>
    </section>
  );
}

function Verification({ report: { verification, log } }: { report: Report }) {
  const { verdict, coverage } = verification;
  const sound = verdict.intact && verdict.complete;
  if (sound && log.entries === 0) return <Fact name="Verification">No entries in this time</Fact>;
  return (
    <Fact name="Verification">
      <Badge tone={sound ? "good" : "bad"}>{sound ? "intact" : "not intact"}</Badge> {sound
        ? `${count(verdict.entries_checked, "entry", "entries")} checked`
        : `${verdict.problem ?? "entries are missing"}`}
      {!verdict.whole_range && ", a part of the time"}
      {coverage.signed_until && (
        <>
          , signed until <Ago time={coverage.signed_until} />
        </>
      )}
    </Fact>
  );
}
