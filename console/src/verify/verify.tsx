import { BulwarkError } from "@bulwark/client";
import type { ExportVerdict } from "@bulwark/client/audit";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type DragEvent, useEffect, useRef, useState } from "react";
import { bulwark, queries } from "../connection.ts";
import { OfOrganization, type Organization } from "../organization.tsx";
import { count } from "../ui/count.ts";
import { Ago, Heading, Problem, Section } from "../ui/parts.tsx";
import { dated, save } from "../ui/save.ts";
import { keptKeys, Keys, keysIn } from "./keys.tsx";
import { Verdict } from "./verdict.tsx";
import { Unreadable, verifyInWorker } from "./verifier.ts";

/** Exports the log of an organization, and proves in this browser that nobody altered it. */
export function Verify() {
  return (
    <OfOrganization title="Verify the audit log" permission="audit:read">
      {(organization) => <Verification key={organization.id} organization={organization} />}
    </OfOrganization>
  );
}

type State =
  | { step: "idle" }
  | { step: "exporting" | "verifying"; entries: number; done?: number }
  | { step: "verified"; verdict: ExportVerdict; origin: string }
  | { step: "failed"; error: unknown };

function Verification({ organization }: { organization: Organization }) {
  const { id, slug, permissions } = organization;
  const [text, setText] = useState(keptKeys);
  const [state, setState] = useState<State>({ step: "idle" });
  const [file, setFile] = useState<Blob | null>(null);
  const { data: coverage } = useQuery(queries.audit.coverage(id));
  const { data: checkpoint } = useQuery(queries.audit.checkpoint());
  const running = useRef<AbortController | null>(null);
  useEffect(() => () => running.current?.abort(), []);
  const given = keysIn(text);
  const keys = given.length > 0 ? given : checkpoint?.keys ?? [];
  const busy = state.step === "exporting" || state.step === "verifying";

  const run = async (work: (signal: AbortSignal) => Promise<State>) => {
    running.current?.abort();
    const { signal } = running.current = new AbortController();
    const next = await work(signal).catch((error): State => ({ step: "failed", error }));
    if (!signal.aborted) setState(next);
  };
  const verified = async (blob: Blob, signal: AbortSignal): Promise<State> => {
    setState({ step: "verifying", entries: 0, done: 0 });
    const verdict = await verifyInWorker(
      { file: blob, keys, organization: id },
      (progress) => signal.aborted || setState({ step: "verifying", ...progress }),
      signal,
    );
    const origin = given.length > 0
      ? "by keys that are kept in this browser"
      : "by keys that the project itself told";
    return { step: "verified", verdict, origin };
  };
  const verifyFile = (blob: Blob) => {
    setFile(null);
    void run((signal) => verified(blob, signal));
  };
  const exported = async (signal: AbortSignal) => {
    setState({ step: "exporting", entries: 0 });
    const log = bulwark.audit.export({
      organization: id,
      signal,
      onProgress: ({ entries }) => signal.aborted || setState({ step: "exporting", entries }),
    });
    const blob = await new Response(log).blob();
    setFile(blob);
    return blob;
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
              {permissions.includes("compliance:read") && (
                <>
                  {" "}
                  For one month, use{" "}
                  <Link to="/o/$slug/compliance" params={{ slug }} className="link">
                    the report
                  </Link>{" "}
                  in Compliance.
                </>
              )}
            </>
          }
        >
          <div className="grid gap-3 border-t border-line px-4 py-3">
            <div className="flex flex-wrap gap-2">
              {permissions.includes("audit:export") && (
                <>
                  <button
                    type="button"
                    className="button primary"
                    disabled={busy || keys.length === 0}
                    onClick={() => run(async (signal) => verified(await exported(signal), signal))}
                  >
                    Verify the whole log
                  </button>
                  <button
                    type="button"
                    className="button"
                    disabled={busy}
                    onClick={() =>
                      run(async (signal) => {
                        save(file ?? await exported(signal), dated(`${slug}-audit`, "ndjson"));
                        return { step: "idle" };
                      })}
                  >
                    Export as a file
                  </button>
                </>
              )}
              {busy && <button type="button" className="button" onClick={stop}>Stop</button>}
            </div>
            {busy && <Progress state={state} total={coverage?.sealed_entries} />}
            {state.step === "failed" && <Failure error={state.error} />}
            <DropZone disabled={busy || keys.length === 0} onFile={verifyFile} />
          </div>
        </Section>
        {state.step === "verified" && (
          <Verdict verdict={state.verdict} origin={state.origin} slug={slug} />
        )}
        <Keys text={text} onChange={setText} />
      </div>
    </>
  );
}

function Progress({ state, total }: {
  state: State & { step: "exporting" | "verifying" };
  total: number | undefined;
}) {
  const { step, entries, done } = state;
  const part = done ?? (total ? Math.min(1, entries / total) : undefined);
  const label = step === "exporting" ? "Fetching the log" : "Verifying";
  return (
    <div className="grid gap-1">
      <progress aria-label={label} max={1} value={part} className="h-2 w-full accent-accent" />
      <p aria-live="polite" className="text-quiet">
        {label}: {count(entries, "entry", "entries")}
      </p>
    </div>
  );
}

function DropZone({ disabled, onFile }: { disabled: boolean; onFile(file: Blob): void }) {
  const [over, setOver] = useState(false);
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    const [file] = event.dataTransfer.files;
    if (file && !disabled) onFile(file);
  };
  return (
    <div
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
      className={`rounded-md border border-dashed border-line-strong px-4 py-3 ${
        over ? "bg-hover" : ""
      }`}
    >
      <label className="flex flex-wrap items-center gap-x-3 gap-y-1">
        <span className="text-quiet">Drop an export here (NDJSON), or choose one:</span>
        <input
          type="file"
          accept=".ndjson,.jsonl,application/x-ndjson"
          aria-label="An export to verify"
          disabled={disabled}
          className="min-w-0 text-quiet file:mr-3 file:h-7 file:rounded-md file:border file:border-line-strong file:bg-surface file:px-2 file:font-medium file:text-ink"
          onChange={({ target }) => {
            const [file] = target.files ?? [];
            if (file) onFile(file);
            target.value = "";
          }}
        />
      </label>
    </div>
  );
}

const sentences: Record<string, string> = {
  WRONG_KEY: "Other keys than those that you trust signed this log. It says nothing about it.",
  NOT_A_BUNDLE: "This file is no NDJSON export of an audit log.",
  MALFORMED_BUNDLE: "This file is no NDJSON export of an audit log.",
  BUNDLE_CUT: "This file breaks off. Export it again.",
  BAD_KEY:
    "A key cannot be read. A public key is its name, a hash and a text, with + between them.",
};

function Failure({ error }: { error: unknown }) {
  if (error instanceof BulwarkError) return <Problem error={error} />;
  const code = error instanceof Unreadable ? error.code : "UNREADABLE";
  return (
    <p role="alert" data-code={code} className="rounded-md bg-bad-soft px-3 py-2 text-bad">
      {sentences[code] ?? String((error as Error).message)}
    </p>
  );
}
