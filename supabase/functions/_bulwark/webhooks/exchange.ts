/** One HTTP/1.1 request and the needed part of its answer (RFC 9112). */
import { utf8 } from "../foundation/bytes.ts";
import { Buffer } from "node:buffer";
import { withTimeout } from "../foundation/timeout.ts";
import type { Connection } from "./connection.ts";

/** The part of an answer that is read. */
export interface Answer {
  status: number;
  /** Names in lower case. Of repeated headers the last is kept; `connection` is joined. */
  headers: ReadonlyMap<string, string>;
  /** At most `bodyLimit` bytes. */
  body: Uint8Array;
  /** Whether the connection is positioned at the start of the next answer. */
  reusable: boolean;
  /** How long the receiver keeps the connection in milliseconds, if it says so. */
  keepFor: number | undefined;
}

/** The exchange failed; the message is for the delivery log. */
export class ExchangeFailure extends Error {
  override readonly name: string = "ExchangeFailure";
}

/** The connection ended, or contained something else, before an answer began. */
export class NoAnswer extends ExchangeFailure {
  override readonly name = "NoAnswer";
}

const headLimit = 32 * 1024;
/** Limit of header, trailer and chunk lines: many short lines cost time too. */
const lineLimit = 1000;
const bodyLimit = 64 * 1024;

/** Headers that determine the end of an answer. */
const framing = new Set(["content-length", "transfer-encoding"]);

/** Header names and values that are allowed in a request. */
const token = /^[!#$%&'*+.^_`|~\w-]+$/;
const visible = /^[\x20-\x7e]*$/;

/**
 * The bytes of a POST request.
 * @throws TypeError for a header that would inject lines
 */
export function writeRequest(url: URL, headers: Record<string, string>, body: string): Uint8Array {
  const length = String(Buffer.byteLength(body));
  const all = { host: url.host, ...headers, "content-length": length };
  let head = `POST ${url.pathname}${url.search} HTTP/1.1\r\n`;
  for (const [name, value] of Object.entries(all)) {
    if (!token.test(name) || !visible.test(value)) {
      throw new TypeError(`Cannot send header ${name}`);
    }
    head += `${name}: ${value}\r\n`;
  }
  return utf8(`${head}\r\n${body}`);
}

/**
 * Sends a request and reads the answer: headers of at most 32 KiB, and the first 64 KiB of the
 * body. If there is more, the connection cannot be reused.
 * @throws NoAnswer if no answer begins, ExchangeFailure if it ends early or is invalid
 */
export async function exchange(connection: Connection, request: Uint8Array): Promise<Answer> {
  try {
    for (let sent = 0; sent < request.length;) {
      sent += await connection.write(sent === 0 ? request : request.subarray(sent));
    }
  } catch {
    // A receiver may answer and close before it has read the body.
  }
  const input = new Input(connection);
  await requireAnswer(input);
  for (;;) {
    const { status, version, headers, isPlain } = await readHead(input);
    // Interim answers precede the final one (RFC 9110, section 15.2); 101 was not requested.
    if (status < 200 && status !== 101) continue;
    const { body, complete } = await withTimeout(readBody(input, status, headers), {
      timeoutMs: bodyTimeoutMs,
      fallback: () => ({ body: input.bytes.slice(), complete: false }),
    });
    const stays = isPlain && version !== "1.0" &&
      !/\bclose\b/i.test(headers.get("connection") ?? "");
    const reusable = complete && stays && input.isEmpty;
    return { status, headers, body, reusable, keepFor: keepForOf(headers) };
  }
}

/** Waits for the first line that is not empty, and skips empty ones (RFC 9112, section 2.2). */
async function requireAnswer(input: Input): Promise<void> {
  const begins = [72, 84, 84, 80, 47]; // HTTP/
  for (;;) {
    while (input.bytes[0] === 10 || input.bytes[0] === 13) {
      input.skip(1);
      if (--input.headLeft < 0) throw new ExchangeFailure("the answer is not HTTP");
    }
    const start = input.bytes.subarray(0, begins.length);
    // The rest of an earlier answer, or not HTTP.
    if (start.some((byte, index) => byte !== begins[index])) {
      throw new NoAnswer("the answer is not HTTP");
    }
    if (start.length === begins.length) return;
    if (await input.fill().catch(() => false)) continue;
    throw start.length === 0
      ? new NoAnswer("closed before the answer began")
      : new ExchangeFailure("closed before the answer was complete");
  }
}

/** `Keep-Alive: timeout=5` in milliseconds, minus a fifth for latency. */
function keepForOf(headers: ReadonlyMap<string, string>): number | undefined {
  const seconds = /(?:^|[,;\s])timeout\s*=\s*"?(\d{1,9})/i.exec(headers.get("keep-alive") ?? "")
    ?.[1];
  return seconds === undefined ? undefined : Number(seconds) * 800;
}

/** Received bytes that were not parsed yet. */
class Input {
  #buffer = new Uint8Array(2048);
  #start = 0;
  #end = 0;
  /** Remaining bytes for headers, including interim answers and trailers. */
  headLeft = headLimit;
  linesLeft = lineLimit;

  constructor(readonly connection: Connection) {}

  get bytes(): Uint8Array {
    return this.#buffer.subarray(this.#start, this.#end);
  }

  get isEmpty(): boolean {
    return this.#start === this.#end;
  }

  /** Waits for more bytes; false at the end. */
  async fill(): Promise<boolean> {
    if (this.#end === this.#buffer.length) {
      const { bytes } = this;
      const roomy = bytes.length * 2 > this.#buffer.length
        ? new Uint8Array(this.#buffer.length * 2)
        : this.#buffer;
      roomy.set(bytes);
      this.#buffer = roomy;
      this.#start = 0;
      this.#end = bytes.length;
    }
    const count = await this.connection.read(this.#buffer.subarray(this.#end));
    if (count === null) return false;
    this.#end += count;
    return true;
  }

  take(count: number): Uint8Array {
    const taken = this.bytes.slice(0, count);
    this.skip(taken.length);
    return taken;
  }

  skip(count: number): void {
    this.#start += count;
  }

  /** Reads up to a line end, which is consumed and not returned. */
  async line(limit: number): Promise<string> {
    for (let searched = 0;;) {
      const end = this.bytes.indexOf(10, searched);
      searched = this.bytes.length;
      if (end > limit || end < 0 && searched > limit) {
        throw new ExchangeFailure("the answer has an endless line");
      }
      if (end >= 0) {
        const line = latin(this.bytes.subarray(0, end));
        this.skip(end + 1);
        return line.endsWith("\r") ? line.slice(0, -1) : line;
      }
      if (!await this.fill()) throw new ExchangeFailure("closed before the answer was complete");
    }
  }

  /** Reads a line outside the body; their total is limited. */
  async headLine(): Promise<string> {
    if (--this.linesLeft < 0) throw new ExchangeFailure("the answer has too many lines");
    const line = await this.line(this.headLeft);
    this.headLeft -= line.length + 2;
    return line;
  }
}

async function readHead(input: Input) {
  let line = await input.headLine();
  while (line === "") line = await input.headLine();
  const start = /^HTTP\/(1\.\d) (\d{3})(?: |$)/.exec(line);
  if (!start) throw new ExchangeFailure("the answer is not HTTP");
  const [, version = "", status = ""] = start;
  const headers = new Map<string, string>();
  let isPlain = true;
  let key = "";
  for (;;) {
    const line = await input.headLine();
    if (line === "") break;
    if (/^[ \t]/.test(line) && key !== "") {
      // A folded line continues the previous header (RFC 9112, section 5.2).
      if (framing.has(key)) isPlain = false;
      headers.set(key, `${headers.get(key)} ${line.trim()}`.trim());
      continue;
    }
    const [, name = "", value = ""] = /^([^:\s]+):(.*)$/s.exec(line) ?? [];
    if (!token.test(name)) throw new ExchangeFailure("the answer is not HTTP");
    key = name.toLowerCase();
    const before = headers.get(key);
    // Two lengths, or a length and chunks: proxies may see another end (request smuggling).
    if (before !== undefined && framing.has(key)) isPlain = false;
    const joined = before !== undefined && /^(?:connection|content-length)$/.test(key);
    headers.set(key, joined ? `${before}, ${value.trim()}` : value.trim());
  }
  if ([...framing].every((key) => headers.has(key))) isPlain = false;
  if (headers.get("content-length")?.includes(",")) isPlain = false;
  return { status: Number(status), version, headers, isPlain };
}

/** The status decides the outcome; the body is for the log and has a shorter timeout. */
const bodyTimeoutMs = 1000;

/** The body or its beginning. An early end is no failure, since the status has arrived. */
async function readBody(
  input: Input,
  status: number,
  headers: ReadonlyMap<string, string>,
): Promise<{ body: Uint8Array; complete: boolean }> {
  if (status === 204 || status === 304) return { body: new Uint8Array(0), complete: true };
  const coding = headers.get("transfer-encoding");
  if (coding !== undefined) {
    return coding.toLowerCase() === "chunked"
      ? await readChunks(input).catch(() => ({ body: new Uint8Array(0), complete: false }))
      : { body: new Uint8Array(0), complete: false };
  }
  const length = lengthOf(headers.get("content-length"));
  const wanted = length !== undefined && /^\d{1,15}$/.test(length) ? Number(length) : Infinity;
  while (input.bytes.length < Math.min(wanted, bodyLimit) && await input.fill().catch(() => false));
  const body = input.take(Math.min(wanted, bodyLimit));
  return { body, complete: body.length === wanted };
}

/** A repeated length is valid if it is the same each time. */
function lengthOf(text: string | undefined): string | undefined {
  const lengths = new Set(text?.split(",").map((length) => length.trim()));
  return lengths.size === 1 ? [...lengths][0] : undefined;
}

async function readChunks(input: Input): Promise<{ body: Uint8Array; complete: boolean }> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    // A chunk of one byte may have a long line before it, so lines are limited.
    if (input.linesLeft === 0) return { body: join(parts, size), complete: false };
    const digits = /^0*([\da-f]{1,8})(?:$|[\s;])/i.exec(await input.headLine())?.[1];
    if (digits === undefined) throw new ExchangeFailure("the answer is not HTTP");
    const length = parseInt(digits, 16);
    if (length === 0) break;
    const wanted = Math.min(length, bodyLimit - size);
    while (input.bytes.length < wanted) if (!await input.fill()) break;
    parts.push(input.take(wanted));
    size += parts.at(-1)?.length ?? 0;
    if (wanted < length || size >= bodyLimit) return { body: join(parts, size), complete: false };
    if (await input.line(2) !== "") throw new ExchangeFailure("the answer is not HTTP");
  }
  while (await input.headLine() !== "");
  return { body: join(parts, size), complete: true };
}

function join(parts: Uint8Array[], size: number): Uint8Array {
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Header bytes as characters, one for one. */
function latin(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}
