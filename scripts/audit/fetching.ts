import { Failure } from "../stack/failure.ts";

/** Progress of an export. */
export interface Arrived {
  entries: number;
  /** The cursor of the next request; null at the end, or before the first. */
  next: string | null;
  cursor: string | null;
  isWhole: boolean;
}

/** Access to the function `bulwark-audit`. */
export interface AuditFunction {
  url: string;
  /** The bearer token, renewed for each request: an export may outlast it. */
  token: () => Promise<string>;
  publishableKey: string | null;
}

/** The longest wait for a rate limit, in seconds. */
const longestWait = 3600;

/**
 * Requests the next bundle of an organization's log, waiting if a rate limit says so.
 * @throws Failure with the code and message of a refusal
 */
export async function fetchBundle(
  { url, token, publishableKey }: AuditFunction,
  organization: string | null,
  cursor: string | null,
  limit?: number,
): Promise<ReadableStream<Uint8Array>> {
  const query = new URLSearchParams({
    format: "ndjson",
    ...(organization === null ? {} : { organization_id: organization }),
    ...(cursor === null ? {} : { cursor }),
    ...(limit === undefined ? {} : { limit: String(limit) }),
  });
  for (;;) {
    const bearer = await token();
    const answer = await fetch(`${url}/functions/v1/bulwark-audit/export?${query}`, {
      headers: { apikey: publishableKey ?? bearer, authorization: `Bearer ${bearer}` },
    });
    if (answer.ok && answer.body) return answer.body;
    const text = await answer.text();
    const wait = Number(answer.headers.get("retry-after"));
    if (answer.status === 429 && wait > 0 && wait <= longestWait) {
      console.error(`Waiting ${wait} seconds, as the rate limit says`);
      await new Promise((resolve) => setTimeout(resolve, 1000 * wait));
      continue;
    }
    const { code = "EXPORT_REFUSED", message = `HTTP ${answer.status}` } = refusalIn(text);
    throw new Failure(code, message);
  }
}

/**
 * Passes a bundle on, counting its entries and reading its end.
 * @throws Failure if it breaks off before its last line
 */
export async function* followed(
  body: ReadableStream<Uint8Array>,
  arrived: Arrived,
  onProgress: (arrived: Arrived) => void,
): AsyncGenerator<Uint8Array> {
  const decoder = new TextDecoder();
  let rest = "";
  let isStated = false;
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      // Most lines are entries and need not be parsed.
      if (line.startsWith('{"type":"entry"')) arrived.entries += 1;
      else if (line.startsWith('{"type":"group"')) arrived.cursor = `${JSON.parse(line).seal}:0`;
      else if (line.startsWith('{"type":"statement"')) isStated = true;
      else if (line.startsWith('{"type":"end"')) {
        const { next, cursor } = JSON.parse(line);
        Object.assign(arrived, { next, cursor });
      }
    }
    onProgress(arrived);
    yield chunk;
  }
  if (!isStated || rest !== "") throw new Failure("BROKEN_OFF", "the answer broke off");
  arrived.isWhole = arrived.next === null;
}

function refusalIn(text: string): { code?: string; message?: string } {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
