/** How something stands, as a word and a shape as well as a colour. */
export type Standing = "good" | "look" | "bad" | "unknown";

const looks = {
  good: { shape: "✓", word: "fine", colour: "text-good" },
  look: { shape: "▲", word: "look", colour: "text-warn" },
  bad: { shape: "■", word: "act", colour: "text-bad font-semibold" },
  unknown: { shape: "?", word: "unknown", colour: "text-quiet" },
} as const;

/** Fine, look, act or unknown. */
export function Mark({ standing }: { standing: Standing }) {
  const { shape, word, colour } = looks[standing];
  return (
    <span className={`flex items-center gap-1.5 ${colour}`}>
      <span aria-hidden className="w-3 text-center">{shape}</span>
      {word}
    </span>
  );
}
