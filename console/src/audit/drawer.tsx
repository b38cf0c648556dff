import type { AuditEntry } from "@bulwark/client";
import { useText } from "../blocks/provider.tsx";
import { Drawer, DrawerHead, exactly, Json } from "../ui/drawer.tsx";
import { Fact, Facts } from "../ui/facts.tsx";
import { Badge, Copy, Id } from "../ui/parts.tsx";
import { type NameOf, subjectOf } from "./names.ts";
import { Severity } from "./severity.tsx";

/** One entry: who did what to which thing, and what changed. */
export default function EntryDrawer({ entry, nameOf, onClose, onFilter }: {
  entry: AuditEntry | null;
  nameOf: NameOf;
  onClose(): void;
  onFilter(filter: { actor?: string; resource?: string }): void;
}) {
  return (
    <Drawer item={entry} onClose={onClose}>
      {(shown) => <Content entry={shown} nameOf={nameOf} onFilter={onFilter} />}
    </Drawer>
  );
}

function Content({ entry, nameOf, onFilter }: {
  entry: AuditEntry;
  nameOf: NameOf;
  onFilter(filter: { actor?: string; resource?: string }): void;
}) {
  const t = useText();
  const { actor_id, resource_id } = entry;
  const subject = subjectOf(entry, nameOf);
  return (
    <>
      <DrawerHead title={entry.event_type}>{exactly(entry.occurred_at)}</DrawerHead>
      <Facts>
        <Fact name={t("Severity")}>
          <Severity severity={entry.severity} />
        </Fact>
        <Fact name={t("Result")}>
          <Badge tone={entry.result === "success" ? "good" : "bad"}>{t(entry.result)}</Badge>
        </Fact>
        <Fact name={t("Actor")}>
          <span className="flex flex-wrap items-center gap-2">
            {nameOf(actor_id) ?? (entry.actor_type && t(entry.actor_type))}
            {actor_id && <Id id={actor_id} />}
            {actor_id && (
              <button
                type="button"
                className="link"
                onClick={() => onFilter({ actor: actor_id })}
              >
                {t("Everything by this actor")}
              </button>
            )}
          </span>
        </Fact>
        {entry.resource_type && (
          <Fact name={t("Resource")}>
            <span className="flex flex-wrap items-center gap-2">
              {entry.resource_type}
              {subject && <span className="font-medium">{subject}</span>}
              {resource_id && (
                <Copy text={resource_id} label={t("Copy the id")}>{resource_id}</Copy>
              )}
              {resource_id && (
                <button
                  type="button"
                  className="link"
                  onClick={() => onFilter({ resource: resource_id })}
                >
                  {t("Its history")}
                </button>
              )}
            </span>
          </Fact>
        )}
        {entry.action && <Fact name={t("Action")}>{entry.action}</Fact>}
        {entry.ip !== null && (
          <Fact name={t("Address")}>
            <span className="font-mono text-xs">{String(entry.ip)}</span>
          </Fact>
        )}
        <Fact name={t("Entry")}>
          <Copy text={entry.id} label={t("Copy the id of the entry")}>{entry.id}</Copy>
        </Fact>
      </Facts>
      <Difference before={entry.before} after={entry.after} nameOf={nameOf} />
      {entry.details && Object.keys(entry.details).length > 0 && (
        <Json title={t("Details")} value={entry.details} />
      )}
    </>
  );
}

type Columns = Record<string, unknown> | null;

/** The columns that changed, before and after. */
function Difference({ before, after, nameOf }: {
  before: Columns;
  after: Columns;
  nameOf: NameOf;
}) {
  const t = useText();
  const names = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])].sort()
    .filter((name) => JSON.stringify(before?.[name]) !== JSON.stringify(after?.[name]));
  if (names.length === 0) return null;
  return (
    <section aria-label={t("Changes")}>
      <h3 className="mb-1 font-semibold">{t("Changes")}</h3>
      <div
        tabIndex={0}
        role="group"
        aria-label={t("Changed columns")}
        className="overflow-auto rounded-md border border-line"
      >
        <table className="w-full text-left font-mono text-xs">
          <thead>
            <tr className="border-b border-line">
              <th scope="col" className="cell-head px-2 py-1.5 font-sans">{t("Column")}</th>
              {before && (
                <th scope="col" className="cell-head px-2 py-1.5 font-sans">{t("Before")}</th>
              )}
              {after && (
                <th scope="col" className="cell-head px-2 py-1.5 font-sans">{t("After")}</th>
              )}
            </tr>
          </thead>
          <tbody>
            {names.map((name) => (
              <tr key={name} className="border-b border-line align-top last:border-0">
                <th scope="row" className="px-2 py-1.5 font-normal text-quiet">{name}</th>
                {before && (
                  <Value value={before[name]} nameOf={nameOf} shade="bg-bad-soft text-bad" />
                )}
                {after && (
                  <Value value={after[name]} nameOf={nameOf} shade="bg-good-soft text-good" />
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Value({ value, nameOf, shade }: { value: unknown; nameOf: NameOf; shade: string }) {
  const name = nameOf(value);
  return (
    <td className="px-2 py-1.5 break-all">
      {value !== undefined && value !== null && (
        <span className={`rounded-sm px-1 ${shade}`}>
          {typeof value === "string" ? value : JSON.stringify(value)}
        </span>
      )}
      {name && <span className="block font-sans text-quiet">{name}</span>}
    </td>
  );
}
