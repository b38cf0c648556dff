import { useQuery } from "@tanstack/react-query";
import { useEffect, useId, useState } from "react";
import { useBulwarkQueries, useText } from "../blocks/provider.tsx";

/** Finds a member by name or address; the one whose whole text stands there is chosen. */
export function ActorField({ organization, onChoose }: {
  organization: string;
  onChoose(id: string): void;
}) {
  const queries = useBulwarkQueries();
  const t = useText();
  const list = useId();
  const [text, setText] = useState("");
  const [search, setSearch] = useState("");
  const [isAsked, setAsked] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setSearch(text.trim()), 200);
    return () => clearTimeout(timer);
  }, [text]);
  const { data: members } = useQuery({
    ...queries.members.list(organization, {
      page_size: 20,
      ...search ? { search: search.slice(0, 100) } : {},
    }),
    enabled: isAsked,
    placeholderData: (before) => before,
  });
  const options = (members ?? []).map(({ user_id, name, email }) => ({
    id: user_id,
    text: name && email ? `${name}, ${email}` : name ?? email ?? user_id,
  }));
  const chosen = options.find((one) => one.text === text);
  useEffect(() => {
    if (!chosen) return;
    onChoose(chosen.id);
    setText("");
  }, [chosen?.id]);
  return (
    <>
      <input
        type="search"
        list={list}
        aria-label={t("Actor")}
        placeholder={t("Any actor")}
        className="field w-auto grow basis-40 md:w-44 md:grow-0 md:basis-auto"
        value={text}
        onFocus={() => setAsked(true)}
        onChange={({ target }) => setText(target.value)}
      />
      <datalist id={list}>
        {options.map((one) => <option key={one.id} value={one.text} />)}
      </datalist>
    </>
  );
}
