import { useEffect, useState } from "react";

/** The result of a copy: null before it and a moment after. Browsers refuse it on some pages. */
type Result = "copied" | "refused" | null;

/** Copies a text, and tells the result for a moment. */
export function useCopied(text: string): readonly [Result, () => void] {
  const [result, setResult] = useState<Result>(null);
  useEffect(() => {
    if (!result) return;
    const timer = setTimeout(() => setResult(null), 1500);
    return () => clearTimeout(timer);
  }, [result]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setResult("copied");
    } catch {
      setResult("refused");
    }
  };
  return [result, () => void copy()];
}
