import { Dialog } from "@base-ui/react/dialog";
import { type KeyboardEvent, useEffect, useId, useRef, useState } from "react";
import { count } from "../ui/count.ts";
import { type Item, useItems } from "./items.ts";

/** Finds every screen, organization, member, entry and action by typing (ARIA combobox). */
export default function Palette({ open, onOpenChange }: {
  open: boolean;
  onOpenChange(open: boolean): void;
}) {
  return (
    <Dialog.Root open={open} onOpenChange={onOpenChange}>
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop" />
        <Dialog.Popup
          data-palette
          className="fixed top-[12vh] left-1/2 z-30 w-[36rem] max-w-[calc(100vw-2rem)] -translate-x-1/2 overflow-hidden rounded-lg border border-line bg-raised shadow-xl"
        >
          <Dialog.Title className="sr-only">Go to, or do</Dialog.Title>
          <Search onDone={() => onOpenChange(false)} />
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

function Search({ onDone }: { onDone(): void }) {
  const id = useId();
  const [text, setText] = useState("");
  const [chosen, setChosen] = useState(0);
  const { items, searching } = useItems(text.trim());
  const active = Math.min(chosen, items.length - 1);
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => {
    list.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  }, [active]);
  const run = (item: Item | undefined) => {
    if (!item) return;
    onDone();
    item.run();
  };
  const press = (event: KeyboardEvent) => {
    if (event.nativeEvent.isComposing) return;
    if (event.key === "Enter") run(items[active]);
    else if (event.key === "ArrowDown") setChosen((active + 1) % items.length || 0);
    else if (event.key === "ArrowUp") setChosen((active + items.length - 1) % items.length || 0);
    else return;
    event.preventDefault();
  };
  const groups = [...new Set(items.map(({ group }) => group))];
  return (
    <>
      <input
        role="combobox"
        aria-label="Search screens, people and actions"
        aria-autocomplete="list"
        aria-expanded={items.length > 0}
        aria-controls={`${id}-list`}
        aria-activedescendant={items.length > 0 ? `${id}-${active}` : undefined}
        placeholder="Search screens, people and actions, or paste the id of an entry"
        autoComplete="off"
        spellCheck={false}
        className="h-11 w-full border-b border-line bg-transparent px-4 text-base outline-none placeholder:text-quiet"
        value={text}
        onChange={({ target }) => {
          setText(target.value);
          setChosen(0);
        }}
        onKeyDown={press}
      />
      <div
        ref={list}
        id={`${id}-list`}
        role="listbox"
        aria-label="Results"
        className="max-h-[min(24rem,60vh)] overflow-y-auto p-1"
      >
        {groups.map((group) => (
          <div key={group} role="group" aria-label={group}>
            <div aria-hidden className="px-2 pt-2 pb-1 text-xs font-medium text-quiet">{group}</div>
            {items.map((item, index) =>
              item.group === group && (
                <div
                  key={item.id}
                  id={`${id}-${index}`}
                  role="option"
                  aria-selected={index === active}
                  className="item aria-selected:bg-hover"
                  onMouseMove={() => setChosen(index)}
                  onClick={() => run(item)}
                >
                  <span className="truncate">{item.name}</span>
                  {item.detail && (
                    <span className="ml-auto max-w-[50%] truncate text-xs text-quiet">
                      {item.detail}
                    </span>
                  )}
                </div>
              )
            )}
          </div>
        ))}
      </div>
      <p
        role="status"
        className={items.length > 0 ? "sr-only" : "px-4 py-6 text-center text-quiet"}
      >
        {items.length > 0
          ? count(items.length, "result", "results")
          : searching
          ? "Searching"
          : "Nothing matches. Try a part of a name."}
      </p>
    </>
  );
}
