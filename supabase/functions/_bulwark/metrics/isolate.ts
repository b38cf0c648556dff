import type { Gauge } from "./registry.ts";

/** Processor time of this process in milliseconds, or null if it is not available. */
export function processorTime(): number | null {
  try {
    // Fields 14 and 15 of proc(5), in hundredths of a second; the name before may hold anything.
    const stat = Deno.readTextFileSync("/proc/self/stat");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const ticks = Number(fields[11]) + Number(fields[12]);
    return Number.isFinite(ticks) ? ticks * 10 : null;
  } catch {
    // No such file, or the runtime does not let a function read it.
    return null;
  }
}

/** Memory of this isolate in bytes, or null if it is not available. */
export function memoryInUse(): number | null {
  try {
    const { rss, heapUsed, external } = Deno.memoryUsage();
    return rss > 0 ? rss : heapUsed + external;
  } catch {
    return null;
  }
}

/**
 * Samples two gauges at each call: percent of the isolate's memory limit, and percent of one processor
 * since the last call. Values that the runtime does not provide are not reported.
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
    // Processor time has a resolution of 10 ms, too coarse for short intervals.
    if (after.at - before.at < 500) return;
    if (after.used !== null && before.used !== null) {
      gauges.cpu.set((after.used - before.used) / (after.at - before.at) * 100);
    }
    before = after;
  };
}
