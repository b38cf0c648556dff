import { useQuery } from "@tanstack/react-query";
import { queries } from "../connection.ts";
import { Badge, Problem, Section, Skeleton } from "../ui/parts.tsx";
import { keepKeys, keysIn } from "./trusted_keys.ts";

/** The public keys that a verification trusts, and where they come from. */
export function Keys({ text, onChange }: { text: string; onChange(text: string): void }) {
  const { data: checkpoint, error } = useQuery(queries.audit.checkpoint());
  const own = checkpoint?.keys ?? [];
  const given = keysIn(text);
  const change = (next: string) => {
    keepKeys(next);
    onChange(next);
  };
  return (
    <Section
      title="Keys that you trust"
      about={
        <>
          Paste the public keys that your operator gave you; they stay in this browser.{" "}
          {given.length > 0
            ? <Badge tone="good">kept in this browser</Badge>
            : <Badge tone="warn">told by the project itself</Badge>}
        </>
      }
    >
      <div className="grid gap-2 border-t border-line px-4 py-3">
        <Problem error={error} />
        <label htmlFor="keys" className="font-medium">Public keys, one a line</label>
        <textarea
          id="keys"
          rows={2}
          spellCheck={false}
          className="field h-auto py-1.5 font-mono text-xs"
          value={text}
          onChange={({ target }) => change(target.value)}
        />
        {given.length > 0 && own.length > 0 && !given.some((key) => own.includes(key)) && (
          <p role="alert" className="rounded-md bg-warn-soft px-3 py-2 text-warn">
            The project now gives other keys than these. Ask its operator why before you trust them.
          </p>
        )}
        {!checkpoint && !error && given.length === 0 && <Skeleton lines={1} />}
        {given.length === 0 && own.length > 0 && (
          <>
            <p className="text-quiet">
              Without keys of your own these are used. They find what was altered by somebody who
              cannot sign; against those who run the project they prove nothing.
            </p>
            <ul className="grid gap-1 font-mono text-xs break-all text-quiet">
              {own.map((key) => <li key={key}>{key}</li>)}
            </ul>
            <button
              type="button"
              className="button justify-self-start"
              onClick={() => change(own.join("\n"))}
            >
              I have compared them: trust these
            </button>
          </>
        )}
      </div>
    </Section>
  );
}
