import type { ExportVerdict } from "@bulwark/client/audit";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { count } from "../ui/count.ts";
import { Ago, Copy, Section } from "../ui/parts.tsx";

const number = new Intl.NumberFormat();

const looks = {
  intact: {
    shape: "✓",
    colour: "bg-good-soft text-good",
    title: "Intact",
    text: "Every entry of the export is as it was sealed and signed.",
  },
  signed: {
    shape: "✓",
    colour: "bg-good-soft text-good",
    title: "Intact as far as it is signed",
    text: "Every signed entry is as it was sealed. The newest ones wait for the next checkpoint.",
  },
  altered: {
    shape: "■",
    colour: "bg-bad-soft text-bad",
    title: "Altered",
    text: "The log differs from what was sealed and signed.",
  },
  unproved: {
    shape: "▲",
    colour: "bg-warn-soft text-warn",
    title: "Not proved",
    text: "Nothing is wrong, but not everything is proved.",
  },
} as const;

/** The result of a verification: what was found, and on whose word it rests. */
export function Verdict({ verdict, period, until, origin, slug }: {
  verdict: ExportVerdict;
  /** The period that was to be proved, in words; null: the whole log. */
  period: string | null;
  /** Until when the period is. */
  until?: string | undefined;
  origin: string;
  slug: string;
}) {
  const { outcome, findings, unproved, more, notes, checkpoint, sealed } = verdict;
  // While people work, the newest entries of a log are hardly ever signed yet.
  const waiting = outcome === "unproved" && verdict.covered > 0 &&
    unproved.every(({ code }) => code === "NOT_COVERED");
  const { shape, colour, title, text } = looks[waiting ? "signed" : outcome];
  return (
    <Section title="Result">
      <div
        role="status"
        data-outcome={waiting ? "intact" : outcome}
        className={`flex items-start gap-3 px-4 py-3 ${colour}`}
      >
        <span aria-hidden className="text-lg leading-6">{shape}</span>
        <div>
          <p className="text-lg font-semibold">{title}: {period ?? "the whole log"}</p>
          <p>{text}</p>
        </div>
      </div>
      {findings.length > 0 && (
        <ul aria-label="Findings">
          {findings.map(({ code, message, entry, seal, line }, index) => (
            <li key={index} data-finding={code} className="border-t border-line px-4 py-2">
              <p className="font-medium text-bad">{words(code)}</p>
              <p className="break-words">{message}</p>
              <p className="flex flex-wrap gap-x-3 text-quiet">
                {entry && (
                  <span>
                    Entry <Copy text={entry} label="Copy the id of the entry">{entry}</Copy>{" "}
                    <Link
                      to="/o/$slug/audit"
                      params={{ slug }}
                      search={{ entry }}
                      target="_blank"
                      className="link"
                    >
                      as it is in the log now
                    </Link>
                  </span>
                )}
                {seal !== undefined && <span>Seal {number.format(seal)}</span>}
                {line !== undefined && <span>Line {number.format(line)}</span>}
              </p>
            </li>
          ))}
        </ul>
      )}
      {unproved.length > 0 && (
        <ul aria-label="Not proved">
          {unproved.map(({ code, message }) => (
            <li key={code + message} className="border-t border-line px-4 py-2">
              <p className="font-medium text-warn">{words(code)}</p>
              <p className="break-words">{message}</p>
            </li>
          ))}
        </ul>
      )}
      {more > 0 && (
        <p className="border-t border-line px-4 py-2">{`And ${number.format(more)} more.`}</p>
      )}
      <dl className="grid grid-cols-[7rem_minmax(0,1fr)] gap-x-4 gap-y-1.5 border-t border-line px-4 py-3 md:grid-cols-[10rem_minmax(0,1fr)]">
        <Fact name="Period">
          {period ?? "The whole log"}
          {sealed && (
            <span className="block text-quiet">
              {sealWords(sealed, period === null, until)}
            </span>
          )}
        </Fact>
        <Fact name="Entries">
          {number.format(verdict.entries)}, {number.format(verdict.covered)}{" "}
          of them under a signed checkpoint
        </Fact>
        <Fact name="Seals">{number.format(verdict.groups)}</Fact>
        {verdict.payloadsRemoved > 0 && (
          <Fact name="Contents removed">{number.format(verdict.payloadsRemoved)}</Fact>
        )}
        <Fact name="Exported">
          <Ago time={verdict.exportedAt} />
        </Fact>
        <Fact name="Checkpoint">
          {checkpoint
            ? (
              <>
                {checkpoint.origin}, {count(checkpoint.size, "seal", "seals")}, root{" "}
                <Copy text={checkpoint.root} label="Copy the root">{checkpoint.root}</Copy>
              </>
            )
            : "none"}
        </Fact>
        <Fact name="Signed by">
          {verdict.signers.length > 0
            ? verdict.signers.map((signer) => (
              <span key={signer} className="block font-mono text-xs leading-5 break-all">
                {signer}
              </span>
            ))
            : "nobody that you trust"}
          <span className="block text-quiet">{origin}</span>
        </Fact>
        {notes.length > 0 && <Fact name="Notes">{notes.join("; ")}</Fact>}
      </dl>
    </Section>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt className="text-quiet">{name}</dt>
      <dd className="min-w-0 break-words">{children}</dd>
    </>
  );
}

/** Which seals an export has. Those of the whole log are proved by the newest alone. */
function sealWords(
  { first, last }: NonNullable<ExportVerdict["sealed"]>,
  isWhole: boolean,
  until: string | undefined,
): string {
  if (isWhole) return `All entries up to the seal of ${moment(last)}`;
  if (until && first >= until) {
    return `Nothing of this period: the first seal after it is of ${moment(first)}`;
  }
  return `The entries of all seals from ${moment(first)} to ${moment(last)}. ` +
    "One beside each end of the period, if there is any, is among them";
}

function moment(time: string): string {
  return new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

/** ENTRY_ALTERED reads "Entry altered". */
function words(code: string): string {
  const text = code.toLowerCase().replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}
