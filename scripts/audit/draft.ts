import { Failure } from "../stack/failure.ts";
import { exists } from "../stack/binaries.ts";
import { wholeLines } from "../../clients/js/src/audit/lines.ts";

/** The contents of a bundle: an organization's entries (null: those without one) after a cursor. */
export interface Bundled {
  organization: string | null;
  after: string | null;
}

/** The unfinished file of an export. */
export interface Draft {
  /** The cursor after its whole bundles; null if there are none. */
  next: string | null;
  /** Whether it is complete and only has to be renamed. */
  isWhole: boolean;
  append(body: AsyncIterable<Uint8Array>): Promise<void>;
  /** Renames it. */
  finish(name: string): Promise<void>;
}

/**
 * Opens a draft that only its owner can read. Whole bundles of the requested export are kept, and
 * the rest is cut off; null starts a new one.
 * @throws Failure OTHER_DRAFT if it belongs to another export, or is not a bundle
 */
export async function openDraft(path: string, of: Bundled | null): Promise<Draft> {
  const kept = of === null || !exists(path)
    ? { bytes: 0, next: null, isWhole: false }
    : await wholeBundles(path, of);
  const file = await Deno.open(path, { write: true, create: true, mode: 0o600 });
  await file.truncate(kept.bytes);
  await file.seek(kept.bytes, Deno.SeekMode.Start);
  return {
    next: kept.next,
    isWhole: kept.isWhole,
    async append(body) {
      for await (const chunk of body) {
        for (let written = 0; written < chunk.length;) {
          written += await file.write(chunk.subarray(written));
        }
      }
    },
    async finish(name) {
      file.close();
      await Deno.rename(path, name);
    },
  };
}

async function wholeBundles(path: string, of: Bundled) {
  const kept = { bytes: 0, next: null as string | null, isWhole: false };
  const decoder = new TextDecoder();
  const file = await Deno.open(path);
  let bytes = 0;
  let next: string | null = null;
  for await (const lines of wholeLines(file.readable)) {
    for (let start = 0; start < lines.length;) {
      const newline = lines.indexOf(10, start);
      if (newline < 0) break;
      const line = lines.subarray(start, newline);
      start = newline + 1;
      // Most lines are entries and need not be parsed.
      const head = decoder.decode(line.subarray(0, 30));
      if (bytes === 0) {
        const header = head.startsWith('{"type":"bundle"') ? JSON.parse(decoder.decode(line)) : {};
        if (header.organization_id !== of.organization || header.after !== of.after) {
          throw otherDraft(path);
        }
      }
      bytes += line.length + 1;
      if (head.startsWith('{"type":"end"')) next = JSON.parse(decoder.decode(line)).next;
      if (!head.startsWith('{"type":"statement"')) continue;
      Object.assign(kept, { bytes, next, isWhole: next === null });
    }
  }
  return kept;
}

function otherDraft(path: string): Failure {
  return new Failure(
    "OTHER_DRAFT",
    `Cannot export the audit log: ${path} is a part of something else; remove it`,
    2,
  );
}
