import { Dialog } from "@base-ui/react/dialog";
import type { AuditEntry } from "@bulwark/client";
import { type ReactNode, useRef } from "react";
import { Badge, Copy, Id } from "../ui/parts.tsx";
import { Severity } from "./severity.tsx";

/** One entry: who did what to which thing, and what changed. */
export function EntryDrawer({ entry, actor, onClose, onFilter }: {
  entry: AuditEntry | null;
  actor: string | null;
  onClose(): void;
  onFilter(filter: { actor?: string; resource?: string }): void;
}) {
  // The last one stays while the drawer closes.
  const last = useRef(entry);
  if (entry) last.current = entry;
  const shown = last.current;
  return (
    <Dialog.Root open={entry !== null} onOpenChange={(open) => open || onClose()}>
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop" />
        <Dialog.Popup className="fixed inset-y-0 right-0 z-20 w-[36rem] max-w-full overflow-auto border-l border-line bg-raised p-5 shadow-xl">
          {shown && <Content entry={shown} actor={actor} onFilter={onFilter} />}
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

function Content({ entry, actor, onFilter }: {
  entry: AuditEntry;
  actor: string | null;
  onFilter(filter: { actor?: string; resource?: string }): void;
}) {
  const { actor_id, resource_id } = entry;
  return (
    <div className="grid gap-5">
      <div className="flex items-start gap-3">
        <div className="min-w-0 flex-1">
          <Dialog.Title className="text-lg font-semibold break-words">
            {entry.event_type}
          </Dialog.Title>
          <Dialog.Description className="text-quiet">
            {new Date(entry.occurred_at).toLocaleString(undefined, {
              dateStyle: "full",
              timeStyle: "long",
            })}
          </Dialog.Description>
        </div>
        <Dialog.Close className="button plain px-2" aria-label="Close">×</Dialog.Close>
      </div>
      <dl className="grid grid-cols-[7rem_minmax(0,1fr)] items-center gap-x-4 gap-y-1.5">
        <Fact name="Severity">
          <Severity severity={entry.severity} />
        </Fact>
        <Fact name="Result">
          <Badge tone={entry.result === "success" ? "good" : "bad"}>{entry.result}</Badge>
        </Fact>
        <Fact name="Actor">
          <span className="flex flex-wrap items-center gap-2">
            {actor ?? entry.actor_type}
            {actor_id && <Id id={actor_id} />}
            {actor_id && (
              <button
                type="button"
                className="link"
                onClick={() => onFilter({ actor: actor_id })}
              >
                Everything by this actor
              </button>
            )}
          </span>
        </Fact>
        {entry.resource_type && (
          <Fact name="Resource">
            <span className="flex flex-wrap items-center gap-2">
              {entry.resource_type}
              {resource_id && <Copy text={resource_id} label="Copy the id">{resource_id}</Copy>}
              {resource_id && (
                <button
                  type="button"
                  className="link"
                  onClick={() => onFilter({ resource: resource_id })}
                >
                  Its history
                </button>
              )}
            </span>
          </Fact>
        )}
        {entry.action && <Fact name="Action">{entry.action}</Fact>}
        {entry.ip !== null && (
          <Fact name="Address">
            <span className="font-mono text-xs">{String(entry.ip)}</span>
          </Fact>
        )}
        <Fact name="Entry">
          <Copy text={entry.id} label="Copy the id of the entry">{entry.id}</Copy>
        </Fact>
      </dl>
      <Difference before={entry.before} after={entry.after} />
      {entry.details && Object.keys(entry.details).length > 0 && (
        <section aria-label="Details">
          <h3 className="mb-1 font-semibold">Details</h3>
          <pre
            tabIndex={0}
            className="overflow-auto rounded-md border border-line bg-page p-3 font-mono text-xs"
          >
            {JSON.stringify(entry.details, null, 2)}
          </pre>
        </section>
      )}
    </div>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt className="self-start text-quiet">{name}</dt>
      <dd className="min-w-0 break-words">{children}</dd>
    </>
  );
}

type Columns = Record<string, unknown> | null;

/** The columns that changed, before and after. */
function Difference({ before, after }: { before: Columns; after: Columns }) {
  const names = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])].sort()
    .filter((name) => JSON.stringify(before?.[name]) !== JSON.stringify(after?.[name]));
  if (names.length === 0) return null;
  return (
    <section aria-label="Changes">
      <h3 className="mb-1 font-semibold">Changes</h3>
      <div
        tabIndex={0}
        role="group"
        aria-label="Changed columns"
        className="overflow-auto rounded-md border border-line"
      >
        <table className="w-full text-left font-mono text-xs">
          <thead>
            <tr className="border-b border-line">
              <th scope="col" className="cell-head px-2 py-1.5 font-sans">Column</th>
              {before && <th scope="col" className="cell-head px-2 py-1.5 font-sans">Before</th>}
              {after && <th scope="col" className="cell-head px-2 py-1.5 font-sans">After</th>}
            </tr>
          </thead>
          <tbody>
            {names.map((name) => (
              <tr key={name} className="border-b border-line align-top last:border-0">
                <th scope="row" className="px-2 py-1.5 font-normal text-quiet">{name}</th>
                {before && <Value value={before[name]} shade="bg-bad-soft text-bad" />}
                {after && <Value value={after[name]} shade="bg-good-soft text-good" />}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Value({ value, shade }: { value: unknown; shade: string }) {
  return (
    <td className="px-2 py-1.5 break-all">
      {value !== undefined && value !== null && (
        <span className={`rounded-sm px-1 ${shade}`}>
          {typeof value === "string" ? value : JSON.stringify(value)}
        </span>
      )}
    </td>
  );
}
