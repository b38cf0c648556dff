const number = new Intl.NumberFormat();

/** "1 key", "1,200 keys"; with a full page "1,000 keys or more". */
export function count(amount: number, one: string, many: string, most = Infinity): string {
  return `${number.format(amount)} ${amount === 1 ? one : many}${amount >= most ? " or more" : ""}`;
}
