/** How much is asked at once. */
export interface TogetherLimits {
  /** Calls in one question. */
  size: number;
  /** Questions under way. */
  underWay: number;
}

/**
 * Asks many questions in one: what comes while as many are under way as may be waits for the next
 * one, and nothing waits for company. `ask` answers in the order of the calls, now or later for each;
 * where it fails, all of them have failed.
 */
export function together<Call, Answer>(
  ask: (calls: Call[]) => Promise<(Answer | Promise<Answer>)[]>,
  limits: TogetherLimits = { size: 100, underWay: 2 },
): (call: Call) => Promise<Answer> {
  const waiting: {
    call: Call;
    resolve: (answer: Answer | Promise<Answer>) => void;
    reject: (reason: unknown) => void;
  }[] = [];
  let underWay = 0;
  const next = async () => {
    const asked = waiting.splice(0, limits.size);
    underWay++;
    try {
      const answers = await ask(asked.map(({ call }) => call));
      for (const [index, { resolve, reject }] of asked.entries()) {
        if (index < answers.length) resolve(answers[index]!);
        else reject(new Error("an answer is missing"));
      }
    } catch (thrown) {
      for (const { reject } of asked) reject(thrown);
    }
    underWay--;
    if (waiting.length > 0) void next();
  };
  return (call) =>
    new Promise((resolve, reject) => {
      waiting.push({ call, resolve, reject });
      if (underWay < limits.underWay) void next();
    });
}
