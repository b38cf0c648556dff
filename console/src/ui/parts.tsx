/** The small parts of all screens. */
import type { BulwarkError } from "@bulwark/client";
import { lazy, type ReactNode, Suspense, useEffect, useId } from "react";
import { useText } from "../blocks/provider.tsx";
import { useCopied } from "./copied.ts";

/** The sentences of all codes, loaded with the first error that needs one. */
const Told = lazy(() =>
  import("./told.tsx").catch(() => ({
    default: ({ error }: { error: BulwarkError }) => error.message,
  }))
);

/** A sentence for people about a refused call, with `{seconds}` to wait. */
function explain(error: BulwarkError): string | null {
  switch (error.code) {
    case "LOGIN_FAILED":
      return "The address or the password is wrong, or the address is not confirmed yet.";
    case "MFA_CODE_REFUSED":
      return "This code is wrong or was used before. Wait for the next one.";
    case "MFA_INVALID_CODE":
      return "A code has six digits, a backup code six groups of four letters or digits.";
    case "MFA_VERIFICATION_REQUIRED":
      return "Nothing was changed: this needs a second factor of the last minutes.";
    case "RBAC_PERMISSION_DENIED":
      return "You may not do this. Ask an administrator of the organization.";
    case "RATE_LIMIT_EXCEEDED":
      return error.retryAfter === 1
        ? "Too many attempts. Try again in a second."
        : "Too many attempts. Try again in {seconds} seconds.";
    case "CLIENT_NETWORK":
      return "The server cannot be reached. Your input is kept; try again.";
    default:
      return null;
  }
}

/** Says in words why a call was refused. */
export function Explanation({ error }: { error: BulwarkError }) {
  const t = useText();
  const own = explain(error);
  if (own !== null) return t(own, { seconds: error.retryAfter ?? 60 });
  return (
    <Suspense>
      <Told error={error} />
    </Suspense>
  );
}

export function Problem({ error }: { error: BulwarkError | null | undefined }) {
  const t = useText();
  if (!error) return null;
  return (
    <div role="alert" data-code={error.code} className="rounded-md bg-bad-soft px-3 py-2 text-bad">
      <Explanation error={error} />
      {error.correlationId && (
        <span className="block font-mono text-xs">
          {t("Request {id}", { id: error.correlationId })}
        </span>
      )}
    </div>
  );
}

/** An input with its label above, and a hint below. */
export function Field(
  { label, hint, ...input }: React.ComponentProps<"input"> & { label: string; hint?: ReactNode },
) {
  const id = useId();
  return (
    <div className="grid gap-1">
      <label htmlFor={id} className="font-medium">{label}</label>
      <input
        id={id}
        aria-describedby={hint ? `${id}-hint` : undefined}
        {...input}
        className="field"
      />
      {hint && <p id={`${id}-hint`} className="text-xs text-quiet">{hint}</p>}
    </div>
  );
}

/** A choice with its label above. Its children are the options. */
export function Select({ label, ...select }: React.ComponentProps<"select"> & { label: string }) {
  const id = useId();
  return (
    <div className="grid content-start gap-1">
      <label htmlFor={id} className="font-medium">{label}</label>
      <select id={id} {...select} className="field" />
    </div>
  );
}

/** A titled part of a screen. */
export function Section(
  { title, about, action, children }: {
    title: string;
    about?: ReactNode;
    action?: ReactNode;
    children?: ReactNode;
  },
) {
  return (
    <section className="card" aria-label={title}>
      <div className="flex flex-wrap items-start gap-x-4 gap-y-2 px-4 py-3">
        <div className="min-w-48 flex-1">
          <h2 className="text-base font-semibold">{title}</h2>
          {about && <p className="text-quiet">{about}</p>}
        </div>
        {action}
      </div>
      {children}
    </section>
  );
}

/** A line of a list within a section. */
export function Line({ children }: { children: ReactNode }) {
  return (
    <li className="flex min-h-9 flex-wrap items-center gap-x-3 gap-y-1 border-t border-line px-4 py-1.5">
      {children}
    </li>
  );
}

/**
 * A list in a section, with its loading, empty and error states. `items` is undefined while unknown.
 * Its children make a `Line` of each of them.
 */
export function Lines<Item>({ items, error, empty, children }: {
  items: readonly Item[] | undefined;
  error: BulwarkError | null;
  /** An `Empty` that says what would be here. */
  empty?: ReactNode;
  children(item: Item): ReactNode;
}) {
  if (error) {
    return (
      <div className="px-4 pb-3">
        <Problem error={error} />
      </div>
    );
  }
  if (!items) return <Skeleton />;
  if (items.length === 0 && empty) return <div className="border-t border-line">{empty}</div>;
  return <ul>{items.map(children)}</ul>;
}

/** Says what would be here. */
export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="grid justify-items-center gap-1 px-4 py-12 text-center">
      <p className="font-medium">{title}</p>
      <div className="max-w-md text-quiet">{children}</div>
    </div>
  );
}

/** A screen that is not open to the person, and how to get in. */
export function Refused({ title, children }: { title: string; children: ReactNode }) {
  return (
    <>
      <Heading>{title}</Heading>
      <div className="card">
        <Empty title="This is not open to you">{children}</Empty>
      </div>
    </>
  );
}

/** Stands for lines that are not known yet. */
export function Skeleton({ lines = 3 }: { lines?: number }) {
  const t = useText();
  return (
    <div role="status" className="grid gap-3 border-t border-line p-4">
      <span className="sr-only">{t("Loading")}</span>
      {Array.from(
        { length: lines },
        (_, line) => (
          <div
            key={line}
            className="skeleton h-3 w-full max-w-sm rounded-sm bg-hover odd:max-w-xs"
          />
        ),
      )}
    </div>
  );
}

/** A word in a shade. */
export function Badge(
  { tone = "quiet", children }: { tone?: "quiet" | "good" | "warn" | "bad"; children: ReactNode },
) {
  const shades = {
    quiet: "bg-hover text-quiet",
    good: "bg-good-soft text-good",
    warn: "bg-warn-soft text-warn",
    bad: "bg-bad-soft text-bad",
  };
  return (
    <span
      className={`inline-flex h-5 items-center rounded-sm px-1.5 text-xs font-medium whitespace-nowrap ${
        shades[tone]
      }`}
    >
      {children}
    </span>
  );
}

/** The initials of somebody. */
export function Initials({ name }: { name: string }) {
  const letters = name.split(/[\s@._-]+/).slice(0, 2).map((word) => word.charAt(0)).join("");
  return (
    <span
      aria-hidden
      className="grid size-6 shrink-0 place-items-center rounded-full bg-hover text-[10px] font-semibold text-quiet uppercase"
    >
      {letters}
    </span>
  );
}

const units = [["day", 86_400], ["hour", 3600], ["minute", 60]] as const;

/** "3 hours ago" in the reader's language. */
export function ago(time: string): string {
  const seconds = (Date.parse(time) - Date.now()) / 1000;
  const words = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
  for (const [unit, length] of units) {
    if (Math.abs(seconds) >= length) return words.format(Math.round(seconds / length), unit);
  }
  return words.format(Math.round(seconds), "second");
}

/** A relative time, with the exact one on hover. */
export function Ago({ time }: { time: string }) {
  return (
    <time dateTime={time} title={new Date(time).toLocaleString()} className="whitespace-nowrap">
      {ago(time)}
    </time>
  );
}

/** Copies a text by a click. */
export function Copy(
  { text, children, label }: { text: string; children: ReactNode; label: string },
) {
  const t = useText();
  const [result, copy] = useCopied(text);
  const copied = result === "copied";
  return (
    <button
      type="button"
      onClick={copy}
      title={copied ? t("Copied") : label}
      className="rounded-sm text-left font-mono text-xs break-all hover:bg-hover"
    >
      {copied ? t("Copied") : children}
      <span className="sr-only">: {label}</span>
    </button>
  );
}

/** An id, shortened and copied by a click. */
export function Id({ id }: { id: string }) {
  const t = useText();
  return <Copy text={id} label={t("Copy {id}", { id })}>{id.slice(0, 8)}…</Copy>;
}

/** The place of an action where a screen has a heading and a block has none. */
export function actionAlone(action: ReactNode): ReactNode {
  return action && <div className="flex justify-end">{action}</div>;
}

/** Sets the title of the page. */
export function useTitle(...parts: (string | undefined)[]): void {
  const title = [...parts.filter(Boolean), "Bulwark"].join(" · ");
  useEffect(() => {
    document.title = title;
  }, [title]);
}

/** The head of a screen. */
export function Heading({ children, action }: { children: string; action?: ReactNode }) {
  return (
    <div className="flex min-h-8 items-center gap-3">
      <h1 className="flex-1 text-xl font-semibold">{children}</h1>
      {action}
    </div>
  );
}
