import type { BulwarkError } from "../foundation/errors.ts";
import { correlationIdOf, type Handler, readJson } from "../foundation/http.ts";
import { EncryptionError } from "./errors.ts";

/** The error for a client; the log gets the fault. */
export function refusalOf(
  thrown: EncryptionError,
  correlationId: string,
  log: (line: string) => void = console.error,
): BulwarkError {
  log(`${correlationId} encryption: ${thrown.message}`);
  return thrown.refusal;
}

/**
 * A handler that parses a JSON body, answers JSON and throws errors mapped by {@link refusalOf}.
 */
export function answering(run: (request: Request, body: unknown) => Promise<unknown>): Handler {
  return async (request) => {
    const answer = run(request, await readJson(request));
    return Response.json(
      await answer.catch((thrown) => {
        throw thrown instanceof EncryptionError
          ? refusalOf(thrown, correlationIdOf(request))
          : thrown;
      }),
    );
  };
}
