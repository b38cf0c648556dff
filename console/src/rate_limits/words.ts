const number = new Intl.NumberFormat();
const units = [["day", 86_400], ["hour", 3600], ["minute", 60], ["second", 1]] as const;

/** "60 a minute" or "5 in 15 minutes". */
export function limitWords(capacity: number, seconds: number): string {
  const [unit, length] = units.find(([, length]) => seconds % length === 0) ?? units[3];
  const times = seconds / length;
  const calls = number.format(capacity);
  if (times === 1) return `${calls} ${unit === "hour" ? "an" : "a"} ${unit}`;
  return `${calls} in ${number.format(times)} ${unit}s`;
}

export const subjects = {
  caller: "user, else API key, else address",
  user_or_key: "user or API key",
  address_and_account: "address and account",
} as const;
