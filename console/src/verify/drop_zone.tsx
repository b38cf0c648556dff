import { type DragEvent, useState } from "react";

/** Takes a file that is dropped or chosen. */
export function DropZone({ disabled, onFile }: { disabled: boolean; onFile(file: Blob): void }) {
  const [over, setOver] = useState(false);
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    const [file] = event.dataTransfer.files;
    if (file && !disabled) onFile(file);
  };
  return (
    <div
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
      className={`rounded-md border border-dashed border-line-strong px-4 py-3 ${
        over ? "bg-hover" : ""
      }`}
    >
      <label className="flex flex-wrap items-center gap-x-3 gap-y-1">
        <span className="text-quiet">Drop an export here (NDJSON), or choose one:</span>
        <input
          type="file"
          accept=".ndjson,.jsonl,application/x-ndjson"
          aria-label="An export to verify"
          disabled={disabled}
          className="min-w-0 text-quiet file:mr-3 file:h-7 file:rounded-md file:border file:border-line-strong file:bg-surface file:px-2 file:font-medium file:text-ink"
          onChange={({ target }) => {
            const [file] = target.files ?? [];
            if (file) onFile(file);
            target.value = "";
          }}
        />
      </label>
    </div>
  );
}
