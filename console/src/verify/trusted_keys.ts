const place = "bulwark-trusted-keys";

/** The keys that were kept in this browser. */
export function keptKeys(): string {
  return localStorage.getItem(place) ?? "";
}

export function keepKeys(text: string): void {
  localStorage.setItem(place, text);
}

/** One key a line. */
export function keysIn(text: string): string[] {
  return text.split("\n").map((line) => line.trim()).filter(Boolean);
}
