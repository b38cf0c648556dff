import type { ExportVerdict, Period } from "@bulwark/client/audit";
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useEffect, useRef, useState } from "react";
import { bulwark, queries } from "../connection.ts";
import { OfOrganization, type Organization } from "../organization.tsx";
import { count } from "../ui/count.ts";
import { type Days, readDays } from "../ui/days.ts";
import { DaysFields } from "../ui/days_fields.tsx";
import { Ago, Heading, Section } from "../ui/parts.tsx";
import { momentsOf, wordsOf } from "../ui/periods.ts";
import { dated, save } from "../ui/save.ts";
import { DropZone } from "./drop_zone.tsx";
import { Keys } from "./keys.tsx";
import { Failure, Progress } from "./progress.tsx";
import { keptKeys, keysIn } from "./trusted_keys.ts";
import { Verdict } from "./verdict.tsx";
import { verifyInWorker } from "./verifier.ts";

/** Days as far as they are over; the last one may still be going on. */
function pastOf(days: Days): Period {
  const { since, until } = momentsOf(days);
  return { since, until: until && Date.parse(until) > Date.now() ? undefined : until };
}

/** Exports the log of an organization, and proves in this browser that nobody altered it. */
export function Verify() {
  const days = readDays(useSearch({ from: "/shell/o/$slug/verify" }));
  return (
    <OfOrganization title="Verify the audit log" permission="audit:read">
      {(organization) => (
        <Verification key={organization.id} organization={organization} days={days} />
      )}
    </OfOrganization>
  );
}

type State =
  | { step: "idle" }
  | { step: "exporting" | "verifying"; entries: number; done?: number }
  | { step: "verified"; verdict: ExportVerdict; days: Days; origin: string }
  | { step: "failed"; error: unknown };

function Verification({ organization, days }: { organization: Organization; days: Days }) {
  const { id, slug, permissions } = organization;
  const navigate = useNavigate({ from: "/o/$slug/verify" });
  const [text, setText] = useState(keptKeys);
  const [state, setState] = useState<State>({ step: "idle" });
  const { data: coverage } = useQuery(queries.audit.coverage(id));
  const { data: checkpoint } = useQuery(queries.audit.checkpoint());
  const running = useRef<AbortController | null>(null);
  useEffect(() => () => running.current?.abort(), []);
  const given = keysIn(text);
  const keys = given.length > 0 ? given : checkpoint?.keys ?? [];
  const busy = state.step === "exporting" || state.step === "verifying";
  const isWhole = days.since === undefined && days.until === undefined;
  const period = isWhole ? undefined : pastOf(days);

  const run = async (work: (signal: AbortSignal) => Promise<State>) => {
    running.current?.abort();
    const { signal } = running.current = new AbortController();
    const next = await work(signal).catch((error): State => ({ step: "failed", error }));
    if (!signal.aborted) setState(next);
  };
  const verified = async (file: Blob, signal: AbortSignal): Promise<State> => {
    setState({ step: "verifying", entries: 0, done: 0 });
    const verdict = await verifyInWorker(
      { file, keys, organization: id, period },
      (progress) => signal.aborted || setState({ step: "verifying", ...progress }),
      signal,
    );
    const origin = given.length > 0
      ? "by keys that are kept in this browser"
      : "by keys that the project itself told";
    return { step: "verified", verdict, days, origin };
  };
  const exported = async (signal: AbortSignal, purpose?: string) => {
    setState({ step: "exporting", entries: 0 });
    const log = bulwark.audit.export({
      organization: id,
      period,
      purpose,
      signal,
      onProgress: ({ entries }) => signal.aborted || setState({ step: "exporting", entries }),
    });
    return await new Response(log).blob();
  };
  const stop = () => {
    running.current?.abort();
    setState({ step: "idle" });
  };
  return (
    <>
      <Heading
        action={
          <Link to="/o/$slug/audit" params={{ slug }} className="button plain">To the log</Link>
        }
      >
        Verify the audit log
      </Heading>
      <div className="grid max-w-4xl grid-cols-[minmax(0,1fr)] gap-4">
        <Section
          title="Verify in this browser"
          about={
            <>
              A worker of this page recomputes every hash and signature; the server is not asked.
              {coverage?.signed_until && (
                <>
                  {" "}
                  {count(coverage.signed_entries, "entry is", "entries are")} signed, the newest
                  {" "}
                  <Ago time={coverage.signed_until} />.
                </>
              )}
            </>
          }
        >
          <div className="grid gap-3 border-t border-line px-4 py-3">
            <div className="flex flex-wrap gap-2">
              <DaysFields
                days={days}
                everything="The whole log"
                disabled={busy}
                onChange={({ since, until }) => {
                  setState({ step: "idle" });
                  void navigate({ search: readDays({ since, until }), replace: true });
                }}
              />
              {permissions.includes("audit:export") && (
                <>
                  <button
                    type="button"
                    className="button primary"
                    disabled={busy || keys.length === 0}
                    onClick={() =>
                      run(async (signal) =>
                        verified(await exported(signal, "verification"), signal)
                      )}
                  >
                    {isWhole ? "Verify the whole log" : "Verify this period"}
                  </button>
                  <button
                    type="button"
                    className="button"
                    disabled={busy}
                    onClick={() =>
                      run(async (signal) => {
                        const { since = "", until = "" } = days;
                        const name = [slug, "audit", since, until].filter(Boolean).join("-");
                        save(await exported(signal), dated(name, "ndjson"));
                        return state.step === "verified" ? state : { step: "idle" };
                      })}
                  >
                    Export as a file
                  </button>
                </>
              )}
              {busy && <button type="button" className="button" onClick={stop}>Stop</button>}
            </div>
            {busy && (
              <Progress state={state} total={isWhole ? coverage?.sealed_entries : undefined} />
            )}
            {state.step === "failed" && <Failure error={state.error} />}
            <DropZone
              disabled={busy || keys.length === 0}
              onFile={(file) => void run((signal) => verified(file, signal))}
            />
          </div>
        </Section>
        {state.step === "verified" && (
          <Verdict
            verdict={state.verdict}
            period={wordsOf(state.days)}
            until={momentsOf(state.days).until}
            origin={state.origin}
            slug={slug}
          />
        )}
        <Keys text={text} onChange={setText} />
      </div>
    </>
  );
}
