import { type Code, codes, type Entry, type Severity } from "./codes.ts";

/** A problem that a check found, before it is judged. */
export interface Found {
  code: Code;
  /** The table, job, setting or file that it is about; null: the project as a whole. */
  object: string | null;
  /** One sentence, without secrets. */
  message: string;
}

/** A problem with its severity and with the way to mend it: the shape of `--json`. */
export interface Finding extends Found {
  severity: Severity;
  action: string;
}

/**
 * Judges a problem. Steps of a deployment that a local database has not taken are notes there.
 */
export function judge(found: Found, isLocal: boolean): Finding {
  const { severity, deployment, action }: Entry = codes[found.code];
  return {
    code: found.code,
    severity: isLocal && deployment ? "note" : severity,
    object: found.object,
    message: found.message,
    action,
  };
}
