import { useEffect, useRef, useState } from "react";
import { useOrganization, useText } from "../blocks/provider.tsx";
import { DaysFields } from "../ui/days_fields.tsx";
import { ActorField } from "./actor_field.tsx";
import { type Change, type Filter, groups, severities } from "./filter.ts";
import { nameOfGroup } from "./groups.ts";
import type { NameOf } from "./names.ts";

/** Chooses which entries are shown. */
export function Filters({ organization, filter, types, nameOf, onChange }: {
  organization: string;
  filter: Filter;
  types: readonly string[] | undefined;
  nameOf: NameOf;
  onChange(more: Change): void;
}) {
  const t = useText();
  const permissions = useOrganization(organization)?.permissions ?? [];
  const chips = ([["actor", t("Actor")], ["resource", t("Resource")]] as const).flatMap(
    ([name, label]) => {
      const value = filter[name];
      return value === undefined ? [] : [{ name, label, value }];
    },
  );
  return (
    <search className="flex flex-wrap items-center gap-2">
      <SearchField text={filter.search ?? ""} onChange={(search) => onChange({ search })} />
      <select
        aria-label={t("Severity")}
        className="field w-auto grow basis-40 md:grow-0 md:basis-auto"
        value={filter.severity ?? ""}
        onChange={({ target }) =>
          onChange({ severity: severities.find((one) => one === target.value) })}
      >
        <option value="">{t("Any severity")}</option>
        {severities.slice(1).map((one) => (
          <option key={one} value={one}>
            {one === "critical" ? t(one) : t("{severity} and above", { severity: t(one) })}
          </option>
        ))}
      </select>
      <select
        aria-label={t("Event type")}
        className="field w-auto grow basis-40 md:max-w-52 md:grow-0 md:basis-auto"
        value={filter.group ?? filter.type ?? ""}
        onChange={({ target }) => {
          const group = groups.find((one) => one === target.value);
          onChange({ group, type: group ? undefined : target.value });
        }}
      >
        <option value="">{t("Any event")}</option>
        <optgroup label={t("Groups")}>
          {groups.map((one) => <option key={one} value={one}>{t(nameOfGroup(one))}</option>)}
        </optgroup>
        <optgroup label={t("Single events")}>
          {types?.map((name) => <option key={name} value={name}>{name}</option>)}
        </optgroup>
      </select>
      <DaysFields days={filter} everything={t("Any time")} onChange={onChange} />
      {permissions.includes("user:read") && filter.actor === undefined && (
        <ActorField
          organization={organization}
          onChoose={(actor) => onChange({ actor })}
        />
      )}
      {chips.map(({ name, label, value }) => (
        <button
          key={name}
          type="button"
          className="button"
          onClick={() => onChange({ [name]: undefined })}
        >
          {label}: {nameOf(value) ?? (name === "actor" ? value.slice(0, 8) : value.slice(0, 24))}
          <span aria-hidden>×</span>
          <span className="sr-only">{t("(remove filter)")}</span>
        </button>
      ))}
    </search>
  );
}

/** Text to search for, taken over once nothing is typed for a moment. */
function SearchField({ text, onChange }: { text: string; onChange(text: string): void }) {
  const t = useText();
  const [typed, setTyped] = useState(text);
  const shown = useRef(onChange);
  shown.current = onChange;
  useEffect(() => {
    if (typed === text) return;
    const timer = setTimeout(() => shown.current(typed), 300);
    return () => clearTimeout(timer);
  }, [typed, text]);
  return (
    <input
      type="search"
      aria-label={t("Search entries")}
      placeholder={t("Search actions, resources, values")}
      className="field md:w-72"
      value={typed}
      onChange={({ target }) => setTyped(target.value)}
    />
  );
}
