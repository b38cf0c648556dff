/** Compares answers of the stack with the document. */
import { faultOf, type Operation, operations, resolve, type Schema } from "./document.ts";

/** A fetch, with what it has seen. */
export interface Answers {
  fetch: typeof fetch;
  /** Answers that are not as the document says, and calls that it does not know. */
  faults: string[];
  /** The ids of the operations that succeeded. */
  succeeded: Set<string>;
}

/** A fetch that compares the answers of Bulwark's operations with the document. */
export function comparedAnswers(): Answers {
  const faults: string[] = [];
  const succeeded = new Set<string>();
  return {
    faults,
    succeeded,
    async fetch(input, init) {
      const request = new Request(input, init);
      const answer = await fetch(request);
      const { pathname, searchParams } = new URL(request.url);
      if (!isOfBulwark(request, pathname)) return answer;
      const columns = searchParams.get("select") ?? "*";
      // A part of the columns is no row of the document.
      if (columns !== "*" && columns !== columnsOf(operationAt("GET", pathname))) return answer;
      const { id, fault } = await compare(request.method, answer);
      if (fault) faults.push(`${id}: ${fault.slice(0, 600)}`);
      else if (answer.ok) succeeded.add(id);
      return answer;
    },
  };
}

/** The operation of an answer, and its fault or an empty text. */
export async function compare(method: string, answer: Response) {
  const { pathname } = new URL(answer.url);
  const operation = operationAt(method, pathname);
  if (!operation) return { id: `${method} ${pathname}`, fault: "not in the document" };
  const type = answer.headers.get("content-type") ?? "";
  const text = await answer.clone().text();
  return { id: operation.operationId, fault: faultOf(operation, answer.status, type, text) };
}

function isOfBulwark({ headers }: Request, path: string): boolean {
  const profile = headers.get("content-profile") ?? headers.get("accept-profile");
  return path.startsWith("/functions/v1/bulwark-") ||
    path.startsWith("/rest/v1/") && profile === "bulwark";
}

/** The columns of a table that are open to clients, as a query selects them. */
export function columnsOf(operation: Operation | undefined): string {
  const rows = operation?.responses["200"]?.content?.["application/json"]?.schema;
  const row = resolve((rows?.items ?? {}) as Schema);
  return Object.keys(row.properties ?? {}).join();
}

function operationAt(method: string, path: string): Operation | undefined {
  const named = path.replace(/(?<=\/)[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}(?=\/|$)/, "{id}");
  return operations.find((each) => each.method === method && each.path === named);
}
