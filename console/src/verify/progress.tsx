import { BulwarkError } from "@bulwark/client";
import { count } from "../ui/count.ts";
import { Problem } from "../ui/parts.tsx";
import { Unreadable } from "./verifier.ts";

/** How far an export or a verification is; of `total` entries, if that is known. */
export function Progress({ state, total }: {
  state: { step: "exporting" | "verifying"; entries: number; done?: number };
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

const sentences: Record<string, string> = {
  WRONG_KEY: "Other keys than those that you trust signed this log. It says nothing about it.",
  NOT_A_BUNDLE: "This file is no NDJSON export of an audit log.",
  MALFORMED_BUNDLE: "This file is no NDJSON export of an audit log.",
  BUNDLE_CUT: "This file breaks off. Export it again.",
  BAD_KEY:
    "A key cannot be read. A public key is its name, a hash and a text, with + between them.",
};

/** Says why nothing can be said about a log. */
export function Failure({ error }: { error: unknown }) {
  if (error instanceof BulwarkError) return <Problem error={error} />;
  const code = error instanceof Unreadable ? error.code : "UNREADABLE";
  return (
    <p role="alert" data-code={code} className="rounded-md bg-bad-soft px-3 py-2 text-bad">
      {sentences[code] ?? String((error as Error).message)}
    </p>
  );
}
