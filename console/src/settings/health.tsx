import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { queries } from "../connection.ts";
import { count } from "../ui/count.ts";
import { Ago, Problem, Section, Skeleton } from "../ui/parts.tsx";
import { Jobs } from "./jobs.tsx";

/** Each check in a sentence, and what to do when it fails. */
const checks: Record<string, { good: string; bad: string; advice: string }> = {
  jobs: {
    good: "Scheduled jobs run.",
    bad: "Scheduled jobs do not run.",
    advice: "See below which are late. In a hosted project look at Integrations, Cron.",
  },
  seals: {
    good: "Entries of the audit log are sealed in time.",
    bad: "Entries of the audit log wait for a seal.",
    advice:
      "The job audit-seal does it. Until it runs, nobody can prove what the newest entries say.",
  },
  checkpoints: {
    good: "Seals are signed in time.",
    bad: "Seals wait for a signature.",
    advice:
      "The function bulwark-audit signs. Look at its log, and whether it has its signing key.",
  },
  verification: {
    good: "The last whole pass found the audit log intact.",
    bad: "The audit log was found altered or incomplete.",
    advice: "Verify an export with the keys that you kept. docs/runbooks says how to go on.",
  },
};

/** Whether jobs run, and the audit log is sealed, signed and intact. */
export function Health() {
  const every = { refetchInterval: 30_000 };
  const { data: health, error } = useQuery({ ...queries.metrics.health(), ...every });
  const { data: status, error: unknown } = useQuery({ ...queries.audit.status(), ...every });
  return (
    <div className="grid max-w-4xl grid-cols-[minmax(0,1fr)] gap-4">
      <Problem error={error ?? unknown} />
      <Section title="Checks">
        <ul>
          {health?.map(({ name, healthy }) => {
            const words = checks[name];
            return (
              <Finding key={name} name={name} good={healthy} advice={words?.advice}>
                {words ? healthy ? words.good : words.bad : name}
              </Finding>
            );
          })}
          {status && (
            <>
              <Finding
                name="objects"
                good={status.touched_objects.length === 0}
                advice={`Changed since the installation: ${
                  status.touched_objects.join(", ")
                }. Run bulwark doctor, which says what differs.`}
              >
                {status.touched_objects.length === 0
                  ? "Audited tables are as they were installed."
                  : "Audited tables are not as they were installed."}
              </Finding>
              <Finding
                name="restore"
                good={status.restore_problems.length === 0}
                advice={status.restore_problems.join(", ")}
              >
                {status.restore_problems.length === 0
                  ? "Nothing is missing after a restore."
                  : "A restore left something behind."}
              </Finding>
              <Finding
                name="gaps"
                good={status.gaps === 0}
                advice="Supabase Auth went on, and the log has a gap there. The metric audit_gaps counts on."
              >
                {status.gaps === 0
                  ? "Every event of Supabase Auth was recorded."
                  : `${
                    count(status.gaps, "event", "events")
                  } of Supabase Auth could not be recorded.`}
              </Finding>
              <Finding
                name="delivery"
                good={status.undelivered_checkpoints === 0}
                advice="A superuser could take them back. Give bulwark-audit a place outside the database."
              >
                {status.undelivered_checkpoints === 0
                  ? "Every checkpoint was delivered outside the database."
                  : `${
                    count(status.undelivered_checkpoints, "checkpoint is", "checkpoints are")
                  } in the database alone.`}
              </Finding>
            </>
          )}
        </ul>
        {(!health && !error || !status && !unknown) && <Skeleton lines={4} />}
        {status?.checkpoint_at && (
          <p className="border-t border-line px-4 py-2 text-quiet">
            {count(status.checkpoint_size ?? 0, "seal is", "seals are")} signed, the last{" "}
            <Ago time={status.checkpoint_at} />.{" "}
            {count(status.audited_tables, "table is", "tables are")} audited.
          </p>
        )}
      </Section>
      <Jobs />
    </div>
  );
}

function Finding({ name, good, advice, children }: {
  name: string;
  good: boolean;
  advice: string | undefined;
  children: ReactNode;
}) {
  return (
    <li className="flex gap-3 border-t border-line px-4 py-2" data-check={name} data-good={good}>
      <span
        className={`flex w-20 shrink-0 items-start gap-1.5 ${good ? "text-good" : "text-bad"}`}
      >
        <span aria-hidden className="w-3 text-center">{good ? "○" : "■"}</span>
        {good ? "good" : "problem"}
      </span>
      <div className="min-w-0">
        <p className="font-medium">{children}</p>
        {!good && advice && <p className="break-words text-quiet">{advice}</p>}
      </div>
    </li>
  );
}
