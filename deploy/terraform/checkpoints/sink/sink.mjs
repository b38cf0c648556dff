/**
 * A sink of checkpoints over HTTP: POST stores a note once, GET answers with the newest. It knows nothing
 * of signatures: Bulwark's function refuses what is not its own, and a verifier trusts the signature alone.
 */
import { Buffer } from "node:buffer";
import { createHash, timingSafeEqual } from "node:crypto";

const longestNote = 8192;

/**
 * Answers a request. The store keeps texts by name: `put` returns false if the name is taken, `get` null if
 * it is not, and `newest` the last name in order.
 *
 * @param {{ method: string, authorization: string | undefined, body: string }} request
 * @param {{
 *   put(name: string, text: string): Promise<boolean>,
 *   get(name: string): Promise<string | null>,
 *   newest(): Promise<string | null>,
 * }} store
 * @param {string} tokenSha256 SHA-256 of the bearer token, in hexadecimal
 */
export async function answer({ method, authorization, body }, store, tokenSha256) {
  const token = /^Bearer (.+)$/.exec(authorization ?? "")?.[1] ?? "";
  const given = createHash("sha256").update(token).digest();
  if (!timingSafeEqual(given, Buffer.from(tokenSha256, "hex"))) return reply(401, "no");
  if (method === "GET") {
    const name = await store.newest();
    const note = name && await store.get(name);
    return note ? reply(200, note) : reply(404, "no checkpoint yet");
  }
  if (method !== "POST") return reply(405, "GET or POST");
  // The second line of a checkpoint is the size of the tree (C2SP tlog-checkpoint).
  const size = body.split("\n")[1] ?? "";
  if (Buffer.byteLength(body) > longestNote || !/^(0|[1-9]\d{0,15})$/.test(size)) {
    return reply(400, "that is no checkpoint");
  }
  const name = nameOf(size);
  if (await store.put(name, body) || await store.get(name) === body) return reply(200, "kept");
  return reply(409, "another checkpoint of this size is kept");
}

const nameOf = (size) => `checkpoints/${String(size).padStart(16, "0")}.txt`;
const sizeOf = (name) => BigInt(name.slice("checkpoints/".length, -".txt".length));

/**
 * The newest checkpoint of a store that only lists names in order, by halving the sizes. `after` returns a
 * name that comes after another (the last of a page), or null if there is none.
 *
 * @param {(name: string) => Promise<string | null>} after
 */
export async function newestName(after) {
  let newest = await after("checkpoints/");
  if (newest === null) return null;
  for (let high = 9_999_999_999_999_999n; sizeOf(newest) < high;) {
    const low = sizeOf(newest);
    const middle = low + (high - low) / 2n;
    const found = await after(nameOf(middle));
    if (found === null) high = middle;
    else newest = found;
  }
  return newest;
}

function reply(statusCode, body) {
  return { statusCode, headers: { "content-type": "text/plain; charset=utf-8" }, body };
}
