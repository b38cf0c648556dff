import { Section } from "../ui/parts.tsx";

/** Backup codes, which are shown this once. */
export function BackupCodes({ codes, onKept }: { codes: readonly string[]; onKept(): void }) {
  const text = `${codes.join("\n")}\n`;
  const download = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
    link.download = "bulwark-backup-codes.txt";
    link.click();
    URL.revokeObjectURL(link.href);
  };
  return (
    <Section
      title="Keep these backup codes"
      about="They are shown this once. Each works once, without your phone."
    >
      <ol
        data-backup-codes
        className="grid gap-x-8 gap-y-1 border-t border-line px-4 py-3 font-mono text-sm sm:grid-cols-2"
      >
        {codes.map((code) => <li key={code} className="whitespace-nowrap">{code}</li>)}
      </ol>
      <div className="flex flex-wrap gap-2 px-4 pb-4">
        <button type="button" className="button primary" onClick={download}>Download</button>
        <button
          type="button"
          className="button"
          onClick={() => navigator.clipboard.writeText(text)}
        >
          Copy
        </button>
        <button type="button" className="button plain" onClick={onKept}>I have kept them</button>
      </div>
    </Section>
  );
}
