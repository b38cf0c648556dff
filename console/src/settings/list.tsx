import type { Setting } from "@bulwark/client";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { queries } from "../connection.ts";
import { useNames } from "../ui/names.ts";
import { Ago, Empty, Problem, Section, Skeleton } from "../ui/parts.tsx";
import { Change } from "./change.tsx";
import { type Changed, useChanges } from "./changes.ts";
import { wordsOf } from "./values.ts";

/** All settings by capability, with what each means and who changed it last. */
export function List() {
  const [search, setSearch] = useState("");
  const { data: settings, error } = useQuery(queries.settings.list());
  const changes = useChanges();
  const nameOf = useNames(null, [...changes.values()].map(({ by }) => by));
  const wanted = search.trim().toLowerCase();
  const found = settings?.filter(({ name, description }) =>
    name.includes(wanted) || description.toLowerCase().includes(wanted)
  );
  const groups = Map.groupBy(found ?? [], ({ name }) => name.split(".")[0]!);
  return (
    <>
      <search>
        <input
          type="search"
          aria-label="Search settings"
          placeholder="Search names and meanings"
          className="field md:w-72"
          value={search}
          onChange={({ target }) => setSearch(target.value)}
        />
      </search>
      <Problem error={error} />
      {!settings && !error && (
        <div className="card">
          <Skeleton lines={8} />
        </div>
      )}
      {found?.length === 0 && (
        <div className="card">
          <Empty title="No setting matches">Search for a part of its name or its meaning.</Empty>
        </div>
      )}
      {[...groups].map(([group, members]) => (
        <Section key={group} title={titleOf(group)}>
          <ul>
            {members.map((setting) => (
              <Line
                key={setting.name}
                setting={setting}
                changed={changes.get(setting.name)}
                nameOf={nameOf}
              />
            ))}
          </ul>
        </Section>
      ))}
    </>
  );
}

const titles: Record<string, string> = { api_keys: "API keys", mfa: "MFA", rbac: "RBAC" };

/** The name of a capability as a title. */
function titleOf(group: string): string {
  const words = group.replaceAll("_", " ");
  return titles[group] ?? words.charAt(0).toUpperCase() + words.slice(1);
}

function Line({ setting, changed, nameOf }: {
  setting: Setting;
  changed: Changed | undefined;
  nameOf(id: string | null): string;
}) {
  const { name, value, description, accepts } = setting;
  return (
    <li
      className="grid grid-cols-[minmax(0,1fr)_auto] items-center gap-x-4 gap-y-0.5 border-t border-line px-4 py-2 md:grid-cols-[minmax(0,1fr)_minmax(6rem,14rem)_5rem]"
      data-setting={name}
    >
      <div className="col-span-2 min-w-0 md:col-span-1">
        <p className="font-mono text-xs break-all">{name}</p>
        <p className="text-quiet">{description}</p>
        {changed && (
          <p className="text-xs text-quiet">
            changed <Ago time={changed.at} /> by {nameOf(changed.by)}, was {wordsOf(changed.before)}
            {changed.installed !== undefined && changed.installed !== changed.before &&
              `, at first ${wordsOf(changed.installed)}`}
          </p>
        )}
      </div>
      <p className="min-w-0 font-medium break-words">{wordsOf(value)}</p>
      <div className="md:justify-self-end">
        {accepts === null
          ? (
            <span className="text-xs text-quiet" title="Only the owner of the database changes it">
              owner only
            </span>
          )
          : <Change setting={setting} accepts={accepts} />}
      </div>
    </li>
  );
}
