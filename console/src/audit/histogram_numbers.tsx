import { useText } from "../blocks/provider.tsx";
import { severities } from "./filter.ts";

const number = new Intl.NumberFormat();

/** The numbers of a histogram as a table. */
export default function Numbers({ bars, words }: {
  bars: readonly { time: number; counts: number[]; total: number }[];
  words: Intl.DateTimeFormat;
}) {
  const t = useText();
  return (
    <div
      tabIndex={0}
      role="group"
      aria-label={t("Numbers of entries")}
      className="mt-1 max-h-48 overflow-auto"
    >
      <table className="w-full text-right text-xs">
        <thead>
          <tr>
            <th scope="col" className="cell-head text-left">{t("From")}</th>
            {severities.map((name) => (
              <th key={name} scope="col" className="cell-head px-2">{t(name)}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {bars.filter(({ total }) => total > 0).reverse().map(({ time, counts }) => (
            <tr key={time} className="border-t border-line">
              <th scope="row" className="py-1 text-left font-normal whitespace-nowrap">
                {words.format(time)}
              </th>
              {counts.map((count, index) => (
                <td key={index} className="px-2">{number.format(count)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
