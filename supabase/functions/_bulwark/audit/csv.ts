/**
 * A CSV record (RFC 4180) that a spreadsheet does not execute: a value that looks like a formula,
 * because it begins with = + - @ (also in full width), tab, CR or LF, gets an apostrophe in front.
 */
export function csvRecord(values: readonly (string | number | null | undefined)[]): string {
  return values.map(csvField).join(",") + "\r\n";
}

function csvField(value: string | number | null | undefined): string {
  const text = String(value ?? "");
  const safe = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
