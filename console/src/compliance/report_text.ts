import type { Report } from "../../../scripts/compliance/shapes.ts";

/** The text of a report: a line with the report, and one with the signed note about it. */
export interface ReadReport {
  text: string;
  line: string;
  report: Report;
  /** Null: the project has no key that signs. */
  note: string | null;
}

/** Reads the text that the function made. */
export function readReport(text: string): ReadReport {
  const [line = "", statement = ""] = text.split("\n");
  return { text, line, report: JSON.parse(line), note: JSON.parse(statement).note };
}

/** The report as a page for people, which needs nothing else and can be printed. */
export async function pageOf({ line, report, note }: ReadReport): Promise<Blob> {
  const { htmlOf } = await import("../../../scripts/compliance/html.ts");
  const hash = new Uint8Array(
    await crypto.subtle.digest("SHA-256", new TextEncoder().encode(line)),
  );
  const sha256 = [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return new Blob([htmlOf({ report, sha256, note })], { type: "text/html" });
}
