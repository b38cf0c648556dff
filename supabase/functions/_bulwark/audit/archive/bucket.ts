import { AwsClient } from "aws4fetch";
import { BulwarkError } from "../../foundation/errors.ts";
import { toBase64, toHex } from "../../foundation/bytes.ts";
import { fetchWithTimeout } from "../../foundation/timeout.ts";
import type { ArchiveEnv } from "../env.ts";
import { sha256 } from "../merkle.ts";

/** A file in the bucket, as it was read back. */
export interface StoredFile {
  key: string;
  bytes: number;
  /** Hexadecimal. */
  sha256: string;
  /** The bucket's own name for these contents. */
  etag: string;
}

/** The bucket that months are archived in: any that speaks S3. */
export interface Bucket {
  /** The URL that keys are below. */
  readonly url: string;
  /**
   * Stores a file and reads it back.
   * @throws BulwarkError 502 AUDIT_ARCHIVE_NOT_STORED if it is not there, or something else is
   */
  store(key: string, contents: Uint8Array, contentType: string): Promise<StoredFile>;
  /**
   * The contents of a file that was stored.
   * @throws BulwarkError 409 AUDIT_ARCHIVE_MISSING or AUDIT_ARCHIVE_ALTERED, naming it
   */
  read(file: Pick<StoredFile, "key" | "bytes" | "sha256">): Promise<Uint8Array>;
  /**
   * Whether a file is there as it was stored, without reading it.
   * @throws BulwarkError 409 AUDIT_ARCHIVE_MISSING or AUDIT_ARCHIVE_ALTERED, naming it
   */
  check(file: Pick<StoredFile, "key" | "bytes" | "etag">): Promise<void>;
  /** Deletes a file; one that is not there, or is locked, is no error. */
  remove(key: string): Promise<void>;
}

/** How long one request may take, in milliseconds. */
const timeoutMs = 30_000;

/** Opens the bucket of a setting. Credentials only go into signatures. */
export function openBucket(env: ArchiveEnv, through: typeof fetch = fetch): Bucket {
  const { url, region, accessKeyId, secretAccessKey, lock } = env;
  const client = new AwsClient({ accessKeyId, secretAccessKey, region, service: "s3" });
  const bounded = fetchWithTimeout(timeoutMs, through);

  async function send(method: string, key: string, body?: Uint8Array, headers = {}) {
    const init = {
      method,
      headers: {
        "x-amz-content-sha256": toHex(await sha256(body ?? new Uint8Array())),
        ...headers,
      },
      ...body === undefined ? {} : { body: body as BodyInit },
    };
    // The hosted runtime's types of the package do not know the fields of a request.
    const signed = await client.sign(`${url}/${key}`, init as object);
    try {
      return await bounded(signed, { redirect: "error" });
    } catch {
      // The error may quote the request.
      throw unreachable(`does not answer ${method} ${key}`);
    }
  }

  async function read(
    { key, bytes, sha256: hash }: { key: string; bytes: number; sha256: string },
  ) {
    const answer = await send("GET", key);
    const contents = await bodyOf(answer, key);
    if (contents.length !== bytes || toHex(await sha256(contents)) !== hash) throw altered(key);
    return { contents, etag: answer.headers.get("etag") ?? "" };
  }

  return {
    url,
    async store(key, contents, contentType) {
      const digest = await sha256(contents);
      const put = await send("PUT", key, contents, {
        "content-type": contentType,
        "x-amz-checksum-sha256": toBase64(digest),
        ...lock === null ? {} : {
          "x-amz-object-lock-mode": lock.mode,
          "x-amz-object-lock-retain-until-date": inDays(lock.days),
        },
      });
      await put.body?.cancel();
      if (!put.ok) throw notStored(`the bucket answers ${put.status} to PUT ${key}`);
      const file = { key, bytes: contents.length, sha256: toHex(digest) };
      try {
        return { ...file, etag: (await read(file)).etag };
      } catch (thrown) {
        if (!(thrown instanceof BulwarkError)) throw thrown;
        throw notStored(`it cannot be read back: ${thrown.message}`);
      }
    },
    async read(file) {
      return (await read(file)).contents;
    },
    async check({ key, bytes, etag }) {
      const answer = await send("HEAD", key);
      await answer.body?.cancel();
      if (answer.status === 404) throw missing(key);
      if (!answer.ok) throw unreachable(`answers ${answer.status} to HEAD ${key}`);
      const length = Number(answer.headers.get("content-length"));
      if (length !== bytes || (answer.headers.get("etag") ?? "") !== etag) throw altered(key);
    },
    async remove(key) {
      const answer = await send("DELETE", key);
      await answer.body?.cancel();
      if (!answer.ok && ![403, 404].includes(answer.status)) {
        throw unreachable(`answers ${answer.status} to DELETE ${key}`);
      }
    },
  };
}

async function bodyOf(answer: Response, key: string): Promise<Uint8Array> {
  if (answer.ok) return new Uint8Array(await answer.arrayBuffer());
  await answer.body?.cancel();
  if (answer.status === 404) throw missing(key);
  throw unreachable(`answers ${answer.status} to GET ${key}`);
}

function inDays(days: number): string {
  return new Date(Date.now() + days * 86_400_000).toISOString();
}

const notStored = (why: string) =>
  new BulwarkError(502, "AUDIT_ARCHIVE_NOT_STORED", `Cannot archive: ${why}`);
const unreachable = (why: string) =>
  new BulwarkError(502, "AUDIT_ARCHIVE_UNREACHABLE", `Cannot use the archive: the bucket ${why}`);
const missing = (key: string) =>
  new BulwarkError(
    409,
    "AUDIT_ARCHIVE_MISSING",
    `Cannot use the archive: ${key} is not in the bucket`,
  );
const altered = (key: string) =>
  new BulwarkError(
    409,
    "AUDIT_ARCHIVE_ALTERED",
    `Cannot use the archive: ${key} is not what was stored`,
  );
