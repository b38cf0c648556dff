import { patience, within } from "./limiter.ts";

/** How much is asked at once. */
export interface TogetherLimits {
  /** Calls in one question. */
  size: number;
  /** Questions under way. */
  underWay: number;
  /** Milliseconds after which a question has failed, and a call that waits is not asked any more. */
  patience: number;
}

/**
 * Asks many questions in one. Who calls in the same turn of the event loop is divided over the
 * questions that may be under way; who comes while as many are waits for the next one, and nothing
 * waits for company. `ask` answers in the order of the calls, now or later for each; where it fails
 * or is silent, all of them have failed.
 */
export function together<Call, Answer>(
  ask: (calls: Call[]) => Promise<(Answer | Promise<Answer>)[]>,
  limits: TogetherLimits = { size: 100, underWay: 2, patience },
): (call: Call) => Promise<Answer> {
  const waiting: {
    call: Call;
    since: number;
    resolve: (answer: Answer | Promise<Answer>) => void;
    reject: (reason: unknown) => void;
  }[] = [];
  let [underWay, due] = [0, false];
  const next = async () => {
    // One question of all would leave the other side idle while this one works, and the reverse.
    const share = Math.ceil(waiting.length / (limits.underWay - underWay));
    const asked = waiting.splice(0, Math.min(share, limits.size));
    let question: ReturnType<typeof ask> | undefined;
    underWay++;
    try {
      question = ask(asked.map(({ call }) => call));
      const answers = await within(limits.patience, question);
      for (const [index, { resolve, reject }] of asked.entries()) {
        if (index < answers.length) resolve(answers[index]!);
        else reject(new Error("an answer is missing"));
      }
    } catch (thrown) {
      for (const { reject } of asked) reject(thrown);
      // What is answered after all, nobody hears, nor that a part of it failed.
      void question?.then((late) => Promise.allSettled(late), () => {});
    }
    underWay--;
    if (waiting.length > 0) soon();
  };
  /** Drops who has given up, so that nothing is charged for them and a silent store fills no memory. */
  const drop = () => {
    const since = performance.now() - limits.patience;
    const first = waiting.findIndex((call) => call.since > since);
    for (const { reject } of waiting.splice(0, first === -1 ? waiting.length : first)) {
      reject(new Error(`not asked within ${limits.patience} ms`));
    }
  };
  const soon = () => {
    if (due || underWay >= limits.underWay) return;
    due = true;
    queueMicrotask(() => {
      due = false;
      drop();
      while (waiting.length > 0 && underWay < limits.underWay) void next();
    });
  };
  return (call) =>
    new Promise((resolve, reject) => {
      waiting.push({ call, since: performance.now(), resolve, reject });
      soon();
    });
}
