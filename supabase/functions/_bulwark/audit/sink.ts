import { fetchWithTimeout } from "../foundation/timeout.ts";
import { concat } from "../foundation/bytes.ts";

/** Maximum length of a note in bytes. */
const longestNote = 8192;

/** A sink that has something else in the place of its newest checkpoint. */
export class OddSinkError extends Error {}

/** A place outside the database that keeps checkpoints. */
export interface Sink {
  /** The name stored in the database; it never contains a token. */
  readonly name: string;
  /** Delivers a checkpoint; delivering it again is no error. Throws if it is not there afterwards. */
  deliver(treeSize: number, note: string): Promise<void>;
  /**
   * The newest checkpoint in the sink; null if there is none, or the sink cannot be read.
   * @throws OddSinkError if something else was put before it
   */
  newest(): Promise<string | null>;
}

/** Options of a sink. */
export interface SinkOptions {
  url: string;
  secretKey: string;
  sink: string | null;
  sinkToken: string | null;
  fetch?: typeof fetch;
  /** Timeout of one delivery. */
  timeoutMs?: number;
}

/**
 * Opens the sink of a setting. `https://...` gets each note as the body of a POST, and may answer a
 * GET with the newest; `storage:<bucket>` keeps each note as a file of a Supabase Storage bucket,
 * which is not overwritten. Plain HTTP is only for this machine.
 * @throws Error if the setting is neither
 */
export function openSink(options: SinkOptions): Sink | null {
  const { sink } = options;
  if (sink === null) return null;
  const bucket = /^storage:([\w.-]+)$/.exec(sink)?.[1];
  if (bucket) return storageSink(bucket, options);
  const url = URL.canParse(sink) ? new URL(sink) : null;
  const local = url?.protocol === "http:" && ["127.0.0.1", "localhost"].includes(url.hostname);
  if (!url || url.protocol !== "https:" && !local) {
    throw new Error("BULWARK_AUDIT_SINK is neither https:// nor storage:<bucket>");
  }
  return httpSink(url, options);
}

function httpSink(url: URL, options: SinkOptions): Sink {
  const authorization: Record<string, string> = options.sinkToken
    ? { authorization: `Bearer ${options.sinkToken}` }
    : {};
  return {
    name: `${url.origin}${url.pathname}`,
    async deliver(treeSize, note) {
      const answer = await send(options, url, {
        method: "POST",
        body: note,
        headers: {
          "content-type": "text/plain; charset=utf-8",
          "idempotency-key": `audit-checkpoint-${treeSize}`,
          ...authorization,
        },
      });
      await answer.body?.cancel();
      if (!answer.ok) throw new Error(`the sink answered ${answer.status}`);
    },
    async newest() {
      const answer = await send(options, url, { headers: authorization });
      if (answer.status >= 500 && answer.status !== 501) {
        await answer.body?.cancel();
        throw new Error(`the sink answered ${answer.status}`);
      }
      return await noteIn(answer);
    },
  };
}

function storageSink(bucket: string, options: SinkOptions): Sink {
  const headers = { apikey: options.secretKey, authorization: `Bearer ${options.secretKey}` };
  return {
    name: `storage:${bucket}`,
    async deliver(treeSize, note) {
      const file = `checkpoints/${String(treeSize).padStart(16, "0")}.txt`;
      const url = new URL(`${options.url}/storage/v1/object/${bucket}/${file}`);
      const put = await send(options, url, {
        method: "POST",
        body: note,
        headers: { ...headers, "content-type": "text/plain; charset=utf-8", "x-upsert": "false" },
      });
      await put.body?.cancel();
      if (put.ok) return;
      // An existing file counts as delivered if its contents are the same.
      const kept = await send(options, url, { headers });
      const text = await kept.text();
      if (!kept.ok) throw new Error(`the bucket answered ${put.status}`);
      if (text !== note) throw new Error("the bucket holds another checkpoint of this size");
    },
    async newest() {
      const list = await send(options, new URL(`${options.url}/storage/v1/object/list/${bucket}`), {
        method: "POST",
        headers: { ...headers, "content-type": "application/json" },
        body: JSON.stringify({
          prefix: "checkpoints",
          limit: 1,
          sortBy: { column: "name", order: "desc" },
        }),
      });
      if (!list.ok) {
        await list.body?.cancel();
        throw new Error(`the bucket answered ${list.status}`);
      }
      const [file] = await list.json() as { name?: string }[];
      if (!file) return null;
      // A role that writes to the bucket could hide the newest checkpoint behind a file that sorts
      // later.
      const size = /^(\d{16})\.txt$/.exec(file.name ?? "")?.[1];
      if (!size) throw new OddSinkError("the bucket holds a file that is no checkpoint");
      const path = `${options.url}/storage/v1/object/${bucket}/checkpoints/${file.name}`;
      const answer = await send(options, new URL(path), { headers });
      if (answer.status >= 500) {
        await answer.body?.cancel();
        throw new Error(`the bucket answered ${answer.status}`);
      }
      const note = await noteIn(answer);
      if (note?.split("\n")[1] !== String(Number(size))) {
        throw new OddSinkError("the bucket's newest file is not the checkpoint that its name says");
      }
      return note;
    },
  };
}

/** The note in an answer; null if it contains something else. */
async function noteIn(answer: Response): Promise<string | null> {
  if (!answer.ok || !answer.body) {
    await answer.body?.cancel();
    return null;
  }
  // Never reads more than the length of a note.
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of answer.body) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > longestNote) return null;
  }
  const text = new TextDecoder().decode(concat(...chunks));
  return text.includes("\n\n\u2014 ") ? text : null;
}

/** A request with a timeout that follows no redirects. */
function send(options: SinkOptions, url: URL, init: RequestInit): Promise<Response> {
  const bounded = fetchWithTimeout(options.timeoutMs ?? 5000, options.fetch);
  return bounded(url, { ...init, redirect: "error" });
}
