import { useMutation } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { queries } from "../connection.ts";
import type { Organization } from "../organization.tsx";
import { Empty, Field, Problem, Section, Skeleton } from "../ui/parts.tsx";
import { dated, save } from "../ui/save.ts";
import { pageOf, type ReadReport, readReport } from "./report_text.ts";
import { Summary } from "./summary.tsx";

const day = 86_400_000;
/** A report shows nothing that its reader may not read, so it needs all of these. */
const needed = [
  "compliance:read",
  "audit:read",
  "audit:export",
  "user:read",
  "security:read",
  "api_key:read",
] as const;

/** Makes a signed report about a range of days. */
export function Reporting({ organization }: { organization: Organization }) {
  const make = useMutation(queries.compliance.signedReport());
  const missing = needed.filter((one) => !organization.permissions.includes(one));
  if (missing.length > 0) {
    return (
      <div className="card">
        <Empty title="Reports are not open to you">
          A report needs {missing.join(", ")} as well.
        </Empty>
      </div>
    );
  }
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const until = Date.parse(`${form.get("until")}T00:00:00`) + day;
    make.mutate([organization.id, {
      since: new Date(`${form.get("since")}T00:00:00`).toISOString(),
      until: new Date(Math.min(until, Date.now())).toISOString(),
    }]);
  };
  return (
    <>
      <Section
        title="Make a report"
        about="Who has access, what was done with it, and whether the log of it can be believed. The audit log records that you made it."
      >
        <form
          onSubmit={submit}
          className="flex flex-wrap items-end gap-3 border-t border-line px-4 py-3"
        >
          <Field label="From" name="since" type="date" required defaultValue={dayOf(90)} />
          <Field label="To" name="until" type="date" required defaultValue={dayOf(0)} />
          <button type="submit" className="button primary" disabled={make.isPending}>
            {make.isPending ? "Reading the log" : "Make report"}
          </button>
        </form>
        {make.error && (
          <div className="px-4 pb-3">
            <Problem error={make.error} />
          </div>
        )}
      </Section>
      {make.isPending && (
        <div className="card">
          <Skeleton lines={8} />
        </div>
      )}
      {make.data && <Made key={make.data} made={readReport(make.data)} />}
      {!organization.permissions.includes("compliance:manage") && (
        <p className="text-quiet">
          The data about one person is no report: each saves their own in{" "}
          <Link to="/account" className="link">My security</Link>, and a super_admin exports or
          erases that of others. They do it here, once they are members of this organization.
        </p>
      )}
    </>
  );
}

function Made({ made }: { made: ReadReport }) {
  const { report, note, text } = made;
  const [failed, setFailed] = useState(false);
  const days = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
  const name = `${report.organization.slug}-compliance`;
  const savePage = () =>
    pageOf(made).then((page) => save(page, dated(name, "html")), () => setFailed(true));
  return (
    <Section
      title={days.formatRange(new Date(report.since), new Date(report.until))}
      about={note === null
        ? "Not signed: this project has no key that signs."
        : "Signed with the keys of the audit log. Print the page to get a PDF."}
      action={
        <span className="flex flex-wrap gap-2">
          <button
            type="button"
            className="button"
            onClick={() => save(new Blob([text]), dated(name, "ndjson"))}
          >
            {note === null ? "JSON" : "Signed JSON"}
          </button>
          <button type="button" className="button" onClick={savePage}>Page</button>
          <Link
            to="/o/$slug/audit"
            params={{ slug: report.organization.slug }}
            search={{ type: "compliance.export", entry: report.entry }}
            className="button plain"
          >
            Its entry
          </Link>
        </span>
      }
    >
      {failed && (
        <p role="alert" className="px-4 pb-3 text-bad">
          The page could not be made. The signed JSON has the same content.
        </p>
      )}
      <Summary report={report} />
    </Section>
  );
}

/** A day of the reader's calendar, so many days ago. */
function dayOf(ago: number): string {
  const date = new Date(Date.now() - ago * day);
  const part = (value: number) => String(value).padStart(2, "0");
  return `${date.getFullYear()}-${part(date.getMonth() + 1)}-${part(date.getDate())}`;
}
