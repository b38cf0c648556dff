import { patience } from "./limiter.ts";

/** How much is asked at once. */
export interface TogetherLimits {
  /** Calls in one question. */
  size: number;
  /** Questions under way. */
  underWay: number;
  /** Milliseconds after which nobody waits any more, be it for an answer or to be asked. */
  patience: number;
}

/** Somebody who waits for an answer. */
interface Waiting<Call, Answer> {
  call: Call;
  since: number;
  resolve(answer: Answer | Promise<Answer>): void;
  reject(reason: unknown): void;
}

/**
 * Asks many questions in one. Who calls in the same turn of the event loop is divided over the
 * questions that may be under way; who comes while as many are waits for the next one, and nothing
 * waits for company. `ask` answers in the order of the calls, now or later for each; where it fails,
 * all of them have failed. How long to wait is the callers' business; a question that is silent for
 * longer than they do has failed when the next one calls, and gives way to it.
 */
export function together<Call, Answer>(
  ask: (calls: Call[]) => Promise<(Answer | Promise<Answer>)[]>,
  limits: TogetherLimits = { size: 100, underWay: 2, patience },
): (call: Call) => Promise<Answer> {
  const waiting: Waiting<Call, Answer>[] = [];
  const underWay = new Set<{ since: number; calls: Waiting<Call, Answer>[] }>();
  let due = false;

  async function next(): Promise<void> {
    // One question of all would leave the other side idle while this one works, and the reverse.
    const share = Math.ceil(waiting.length / (limits.underWay - underWay.size));
    const calls = waiting.splice(0, Math.min(share, limits.size));
    const question = { since: performance.now(), calls };
    underWay.add(question);
    try {
      const answers = await ask(calls.map(({ call }) => call));
      // Given up meanwhile: nobody hears the answers, nor that one of them fails.
      if (!underWay.has(question)) return void Promise.allSettled(answers);
      for (const [index, { resolve, reject }] of calls.entries()) {
        if (index < answers.length) resolve(answers[index]!);
        else reject(new Error("an answer is missing"));
      }
    } catch (thrown) {
      for (const { reject } of calls) reject(thrown);
    }
    underWay.delete(question);
    if (waiting.length > 0) soon();
  }

  /** Fails what nobody waits for, so that it stops no others, is not charged and fills no memory. */
  function giveUp(): void {
    const since = performance.now() - limits.patience;
    const late: Waiting<Call, Answer>[] = [];
    for (const question of underWay) {
      if (question.since > since) continue;
      underWay.delete(question);
      late.push(...question.calls);
    }
    const first = waiting.findIndex((call) => call.since > since);
    late.push(...waiting.splice(0, first === -1 ? waiting.length : first));
    for (const { reject } of late) reject(new Error(`no answer within ${limits.patience} ms`));
  }

  function soon(): void {
    if (due) return;
    due = true;
    queueMicrotask(() => {
      due = false;
      giveUp();
      while (waiting.length > 0 && underWay.size < limits.underWay) void next();
    });
  }

  return (call) =>
    new Promise((resolve, reject) => {
      waiting.push({ call, since: performance.now(), resolve, reject });
      soon();
    });
}

/**
 * Asks about the calls of one line together and one question at a time, whatever other lines do: who
 * comes while a question is under way is in the next one. A line is there as long as somebody waits.
 */
export function lines<Call, Answer>(
  ask: (calls: Call[]) => Promise<Answer[]>,
  limits: TogetherLimits = { size: 1000, underWay: 1, patience },
): (line: string, call: Call) => Promise<Answer> {
  const known = new Map<string, { ask: (call: Call) => Promise<Answer>; waiting: number }>();
  return async (name, call) => {
    const line = known.get(name) ?? { ask: together(ask, limits), waiting: 0 };
    known.set(name, line);
    line.waiting++;
    try {
      return await line.ask(call);
    } finally {
      if (--line.waiting === 0) known.delete(name);
    }
  };
}
