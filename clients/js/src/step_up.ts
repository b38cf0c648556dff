import { abortedCall, BulwarkError } from "./error.ts";
import type { Result } from "./result.ts";

/** Asks the person for a code, of a factor or a backup code. */
export type AskForCode = (refusal: BulwarkError) => Promise<string | true | null>;

/** Runs a call, and once more after a fresh second factor was verified if it needs one. */
export type RunCall = <Data>(
  call: () => Promise<Result<Data>>,
  signal?: AbortSignal,
) => Promise<Result<Data>>;

/**
 * Repeats the calls of a client that need a fresh second factor.
 *
 * - There is one question at a time. A call that was sent before its answer and is refused shares the
 *   answer: it is repeated, or given up with the same error.
 * - A call that is sent while the handler runs is not held back by it: the handler may wait for that
 *   call. If it is refused before the handler is done, it gets its refusal.
 * - A call is repeated once. A second refusal is its result.
 * - If the handler gives null, rejects or throws, the call gets its refusal; its `cause` is the thrown
 *   value. The next call that is refused asks again.
 * - The calls wait as long as the handler does. A call that is aborted leaves; the question goes on.
 */
export function withStepUp(
  ask: AskForCode,
  verify: (code: string) => Promise<BulwarkError | null>,
): RunCall {
  /** The open question. It gives the error of the calls that wait, or null if they are repeated. */
  let question: Promise<BulwarkError | null> | undefined;
  let isAsking = false;
  /** How many questions were answered, and the error of the last one. */
  let answered = 0;
  let lastError: BulwarkError | null = null;

  const answerOf = async (refusal: BulwarkError): Promise<string | true | null> => {
    isAsking = true;
    try {
      return await ask(refusal);
    } finally {
      isAsking = false;
    }
  };
  const put = async (refusal: BulwarkError): Promise<BulwarkError | null> => {
    try {
      const code = await answerOf(refusal);
      if (code === null) lastError = refusal;
      else lastError = code === true ? null : await verify(code);
    } catch (thrown) {
      lastError = new BulwarkError({ ...refusal, message: refusal.message, cause: thrown });
    }
    answered++;
    return lastError;
  };

  return async (call, signal) => {
    const sent = { answered, isAsking };
    const result = await call();
    if (result.error?.code !== "MFA_VERIFICATION_REQUIRED") return result;
    let error = lastError;
    if (answered === sent.answered) {
      if (sent.isAsking && isAsking) return result;
      question ??= put(result.error).finally(() => question = undefined);
      error = await (signal ? Promise.race([question, whenAborted(signal)]) : question);
    }
    return error ? { data: null, error } : await call();
  };
}

function whenAborted(signal: AbortSignal): Promise<BulwarkError> {
  return new Promise((resolve) => {
    const end = () => resolve(abortedCall(signal.reason));
    if (signal.aborted) end();
    else signal.addEventListener("abort", end, { once: true });
  });
}
