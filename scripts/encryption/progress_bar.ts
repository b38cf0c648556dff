const width = 30;

/** A bar of 30 characters with its numbers; `rate` is rows per second. */
export function progressBar(
  { total, done }: { total: number; done: number },
  rate: number,
): string {
  const share = total === 0 ? 1 : Math.min(done / total, 1);
  const filled = Math.floor(share * width);
  const rows = `${done.toLocaleString("en")} of ${total.toLocaleString("en")} rows`;
  const bar = "#".repeat(filled) + "-".repeat(width - filled);
  return `[${bar}] ${Math.floor(share * 100)} %  ${rows}, ${Math.round(rate)}/s`;
}
