const month = "(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)";
const time = String.raw`(\d\d:\d\d:\d\d)`;
const imfFixdate = new RegExp(String.raw`^\w{3}, (\d\d) ${month} (\d{4}) ${time} GMT$`);
const rfc850 = new RegExp(String.raw`^\w{6,9}, (\d\d)-${month}-(\d\d) ${time} GMT$`);
const asctime = new RegExp(String.raw`^\w{3} ${month} ([ \d]\d) ${time} (\d{4})$`);

/**
 * The seconds that `Retry-After` asks for (RFC 9110, section 10.2.3), as a number or a date in one
 * of its three forms; at most `maximum`, and 0 if absent or malformed.
 */
export function retryAfterSeconds(
  text: string | null | undefined,
  maximum: number,
  now: number = Date.now(),
): number {
  const value = (text ?? "").trim();
  const seconds = /^\d+$/.test(value) ? Number(value) : (dateOf(value, now) - now) / 1000;
  return seconds > 0 ? Math.min(Math.ceil(seconds), maximum) : 0;
}

/** Parses an HTTP date (RFC 9110, section 5.6.7) to milliseconds, or NaN. */
function dateOf(text: string, now: number): number {
  const [, day, monthName, year, clock] = imfFixdate.exec(text) ?? rfc850.exec(text) ?? [];
  if (day !== undefined) {
    return Date.parse(`${day} ${monthName} ${fullYear(year, now)} ${clock} GMT`);
  }
  const [, ascMonth, ascDay, ascClock, ascYear] = asctime.exec(text) ?? [];
  return Date.parse(`${ascDay} ${ascMonth} ${ascYear} ${ascClock} GMT`);
}

/** Expands a two-digit year: one more than 50 years ahead is in the past. */
function fullYear(year: string | undefined, now: number): number {
  if (year?.length !== 2) return Number(year);
  const thisYear = new Date(now).getUTCFullYear();
  const full = Math.floor(thisYear / 100) * 100 + Number(year);
  return full > thisYear + 50 ? full - 100 : full;
}
