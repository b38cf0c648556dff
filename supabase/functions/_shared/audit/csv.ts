/**
 * A record of CSV (RFC 4180) that a spreadsheet does not execute: a value that it would take for a
 * formula, because it begins with = + - @ tab or CR, gets an apostrophe in front.
 */
export function csvRecord(values: readonly (string | number | null | undefined)[]): string {
  return values.map(csvField).join(",") + "\r\n";
}

function csvField(value: string | number | null | undefined): string {
  const text = String(value ?? "");
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
