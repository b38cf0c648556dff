import { BulwarkError } from "../foundation/errors.ts";
import { correlationIdOf, type Handler, readJson } from "../foundation/http.ts";
import { EncryptionError } from "./errors.ts";

/**
 * The error for a client. Only a destroyed key is reported as such; all other faults of a value
 * look the same, and the log has the difference.
 */
export function refusalOf(
  thrown: EncryptionError,
  correlationId: string,
  log: (line: string) => void = console.error,
): BulwarkError {
  log(`${correlationId} encryption: ${thrown.message}`);
  if (thrown.fault === "key_destroyed") {
    return new BulwarkError(
      410,
      "ENCRYPTION_KEY_DESTROYED",
      "Cannot decrypt: the organization's keys were destroyed",
    );
  }
  return new BulwarkError(
    422,
    "ENCRYPTION_FAILED",
    "Cannot encrypt or decrypt: a value is not one that was encrypted for its place",
  );
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
