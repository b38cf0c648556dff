import type { Gauge } from "./registry.ts";

/** Milliseconds of processor time that this process used, or null where nobody says. */
export function processorTime(): number | null {
  try {
    // Fields 14 and 15 of proc(5), in hundredths of a second; the name before may hold anything.
    const stat = Deno.readTextFileSync("/proc/self/stat");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const ticks = Number(fields[11]) + Number(fields[12]);
    return Number.isFinite(ticks) ? ticks * 10 : null;
  } catch {
    // No such file, or none that the runtime lets a function read.
    return null;
  }
}

/** Bytes that this isolate keeps in memory, or null where nobody says. */
export function memoryInUse(): number | null {
  try {
    const { rss, heapUsed, external } = Deno.memoryUsage();
    return rss > 0 ? rss : heapUsed + external;
  } catch {
    return null;
  }
}

/**
 * Takes two levels at each call: the percentage of the memory an isolate may have, and of one
 * processor since the call before. What the runtime does not tell is not reported.
 */
export function isolateSampler(
  gauges: { memory: Gauge; cpu: Gauge },
  { memoryLimit, now = Date.now, cpuTime = processorTime, memory = memoryInUse }: {
    /** Bytes. */
    memoryLimit: number;
    now?: () => number;
    cpuTime?: () => number | null;
    memory?: () => number | null;
  },
): () => void {
  let before = { at: now(), used: cpuTime() };
  return () => {
    const bytes = memory();
    if (bytes !== null) gauges.memory.set(bytes / memoryLimit * 100);
    const after = { at: now(), used: cpuTime() };
    // Processor time comes in hundredths of a second: over less than one a share says nothing.
    if (after.at - before.at < 500) return;
    if (after.used !== null && before.used !== null) {
      gauges.cpu.set((after.used - before.used) / (after.at - before.at) * 100);
    }
    before = after;
  };
}
