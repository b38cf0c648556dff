import { useQuery } from "@tanstack/react-query";
import { useEffect, useId, useState } from "react";
import { queries } from "../connection.ts";
import type { Organization } from "../organization.tsx";
import { Problem, Skeleton } from "../ui/parts.tsx";
import { uuid } from "../ui/uuid.ts";

/** Somebody who was chosen. */
export interface Chosen {
  id: string;
  name: string;
}

/** Members to choose by a search; with `gone`, also people who left, by their id. */
export function ChooseMembers(
  { organization, label, several = false, gone = false, chosen, onChange }: {
    organization: Organization;
    label: string;
    several?: boolean;
    gone?: boolean;
    chosen: readonly Chosen[];
    onChange(chosen: readonly Chosen[]): void;
  },
) {
  const name = useId();
  const [text, setText] = useState("");
  const [search, setSearch] = useState("");
  useEffect(() => {
    const timer = setTimeout(() => setSearch(text.trim()), 300);
    return () => clearTimeout(timer);
  }, [text]);
  const byId = gone && uuid.test(search);
  const { data: members, error } = useQuery({
    ...queries.members.list(organization.id, {
      page_size: 20,
      ...search ? { search: search.slice(0, 100) } : {},
    }),
    enabled: !byId,
    placeholderData: (before) => before,
  });
  const found = byId
    ? [{ id: search.toLowerCase(), name: search.toLowerCase() }]
    : (members ?? []).map(({ user_id: id, name, email }) => ({ id, name: name ?? email ?? id }));
  const isChosen = (one: Chosen) => chosen.some(({ id }) => id === one.id);
  const shown = [...chosen, ...found.filter((one) => !isChosen(one))];
  const toggle = (one: Chosen) =>
    onChange(
      isChosen(one) ? chosen.filter(({ id }) => id !== one.id) : several ? [...chosen, one] : [one],
    );
  return (
    <fieldset className="grid gap-1">
      <legend className="mb-1 font-medium">{label}</legend>
      <input
        type="search"
        aria-label={`Search: ${label}`}
        placeholder={gone ? "Search members, or paste the id of somebody" : "Search members"}
        className="field"
        value={text}
        onChange={({ target }) => setText(target.value)}
      />
      <Problem error={error} />
      <span
        role="group"
        aria-label={label}
        tabIndex={0}
        className="grid max-h-40 content-start gap-1 overflow-auto rounded-md border border-line p-2"
      >
        {!byId && !members && !error && <Skeleton lines={2} />}
        {shown.map((one) => (
          <label key={one.id} className="flex items-center gap-2">
            <input
              type={several ? "checkbox" : "radio"}
              name={several ? undefined : name}
              checked={isChosen(one)}
              onChange={() => toggle(one)}
            />
            <span className="truncate">{one.name}</span>
          </label>
        ))}
        {shown.length === 0 && members && <span className="text-quiet">Nobody matches</span>}
      </span>
    </fieldset>
  );
}
