/**
 * Synchronous SHA-256 (FIPS 180-4) without allocations, for millions of short messages: WebCrypto
 * is asynchronous, and node:crypto costs Deno five microseconds a call, this one. Not for secrets.
 * The tests compare it with WebCrypto.
 */

const initial = new Int32Array(8);
const constants = new Int32Array(64);
const words = new Int32Array(64);
const scratch = new Int32Array(8);
const tail = new Uint8Array(128);

// Constants of the standard: the fractions of the square and cube roots of the first primes.
for (let candidate = 2, found = 0; found < 64; candidate++) {
  if (!isPrime(candidate)) continue;
  if (found < 8) initial[found] = fraction(Math.sqrt(candidate));
  constants[found++] = fraction(Math.cbrt(candidate));
}

/** Writes the 32 bytes of the hash of `message` into `into` at `at`; the two may be the same buffer. */
export function sha256Into(into: Uint8Array, at: number, message: Uint8Array): void {
  const length = message.length;
  const whole = length - length % 64;
  scratch.set(initial);
  for (let offset = 0; offset < whole; offset += 64) compress(scratch, message, offset);
  for (let index = whole; index < length; index++) tail[index - whole] = message[index]!;
  finish(scratch, length, into, at);
}

/** The hash of a stream. */
export interface StreamHash {
  update(bytes: Uint8Array): void;
  /** The 32 bytes; afterwards it is used up. */
  digest(): Uint8Array;
}

/** SHA-256 of a stream, for runtimes without a native one that is synchronous. */
export function streamHash(): StreamHash {
  const state = Int32Array.from(initial);
  const pending = new Uint8Array(64);
  let length = 0;
  return {
    update(bytes) {
      const filled = length % 64;
      let offset = Math.min(bytes.length, (64 - filled) % 64);
      pending.set(bytes.subarray(0, offset), filled);
      if (filled > 0 && filled + offset === 64) compress(state, pending, 0);
      for (; offset + 64 <= bytes.length; offset += 64) compress(state, bytes, offset);
      if (offset < bytes.length) pending.set(bytes.subarray(offset), 0);
      length += bytes.length;
    },
    digest() {
      const hash = new Uint8Array(32);
      tail.set(pending);
      finish(state, length, hash, 0);
      return hash;
    },
  };
}

/** Pads the last bytes of a message, which are in `tail`, and writes the hash. */
function finish(state: Int32Array, length: number, into: Uint8Array, at: number): void {
  const rest = length % 64;
  const end = rest < 56 ? 64 : 128;
  tail.fill(0, rest, end);
  tail[rest] = 0x80;
  for (let index = 1, left = length * 8; index <= 7; index++, left = Math.floor(left / 256)) {
    tail[end - index] = left % 256;
  }
  compress(state, tail, 0);
  if (end === 128) compress(state, tail, 64);
  for (let index = 0; index < 8; index++) {
    const word = state[index]!;
    into[at++] = word >>> 24;
    into[at++] = word >>> 16;
    into[at++] = word >>> 8;
    into[at++] = word;
  }
}

function compress(state: Int32Array, bytes: Uint8Array, offset: number): void {
  for (let index = 0; index < 16; index++, offset += 4) {
    words[index] = bytes[offset]! << 24 | bytes[offset + 1]! << 16 | bytes[offset + 2]! << 8 |
      bytes[offset + 3]!;
  }
  for (let index = 16; index < 64; index++) {
    const early = words[index - 15]!;
    const late = words[index - 2]!;
    const first = (early >>> 7 | early << 25) ^ (early >>> 18 | early << 14) ^ early >>> 3;
    const second = (late >>> 17 | late << 15) ^ (late >>> 19 | late << 13) ^ late >>> 10;
    words[index] = words[index - 16]! + first + words[index - 7]! + second | 0;
  }
  let a = state[0]!, b = state[1]!, c = state[2]!, d = state[3]!;
  let e = state[4]!, f = state[5]!, g = state[6]!, h = state[7]!;
  // Eight rounds at a time: after those each variable has its own value again, without copying.
  for (let index = 0; index < 64; index += 8) {
    h = h + ((e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7)) + (g ^ e & (f ^ g)) +
        constants[index]! + words[index]! | 0;
    d = d + h | 0;
    h = h + ((a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10)) +
        (a & b | c & (a | b)) | 0;
    g = g + ((d >>> 6 | d << 26) ^ (d >>> 11 | d << 21) ^ (d >>> 25 | d << 7)) + (f ^ d & (e ^ f)) +
        constants[index + 1]! + words[index + 1]! | 0;
    c = c + g | 0;
    g = g + ((h >>> 2 | h << 30) ^ (h >>> 13 | h << 19) ^ (h >>> 22 | h << 10)) +
        (h & a | b & (h | a)) | 0;
    f = f + ((c >>> 6 | c << 26) ^ (c >>> 11 | c << 21) ^ (c >>> 25 | c << 7)) + (e ^ c & (d ^ e)) +
        constants[index + 2]! + words[index + 2]! | 0;
    b = b + f | 0;
    f = f + ((g >>> 2 | g << 30) ^ (g >>> 13 | g << 19) ^ (g >>> 22 | g << 10)) +
        (g & h | a & (g | h)) | 0;
    e = e + ((b >>> 6 | b << 26) ^ (b >>> 11 | b << 21) ^ (b >>> 25 | b << 7)) + (d ^ b & (c ^ d)) +
        constants[index + 3]! + words[index + 3]! | 0;
    a = a + e | 0;
    e = e + ((f >>> 2 | f << 30) ^ (f >>> 13 | f << 19) ^ (f >>> 22 | f << 10)) +
        (f & g | h & (f | g)) | 0;
    d = d + ((a >>> 6 | a << 26) ^ (a >>> 11 | a << 21) ^ (a >>> 25 | a << 7)) + (c ^ a & (b ^ c)) +
        constants[index + 4]! + words[index + 4]! | 0;
    h = h + d | 0;
    d = d + ((e >>> 2 | e << 30) ^ (e >>> 13 | e << 19) ^ (e >>> 22 | e << 10)) +
        (e & f | g & (e | f)) | 0;
    c = c + ((h >>> 6 | h << 26) ^ (h >>> 11 | h << 21) ^ (h >>> 25 | h << 7)) + (b ^ h & (a ^ b)) +
        constants[index + 5]! + words[index + 5]! | 0;
    g = g + c | 0;
    c = c + ((d >>> 2 | d << 30) ^ (d >>> 13 | d << 19) ^ (d >>> 22 | d << 10)) +
        (d & e | f & (d | e)) | 0;
    b = b + ((g >>> 6 | g << 26) ^ (g >>> 11 | g << 21) ^ (g >>> 25 | g << 7)) + (a ^ g & (h ^ a)) +
        constants[index + 6]! + words[index + 6]! | 0;
    f = f + b | 0;
    b = b + ((c >>> 2 | c << 30) ^ (c >>> 13 | c << 19) ^ (c >>> 22 | c << 10)) +
        (c & d | e & (c | d)) | 0;
    a = a + ((f >>> 6 | f << 26) ^ (f >>> 11 | f << 21) ^ (f >>> 25 | f << 7)) + (h ^ f & (g ^ h)) +
        constants[index + 7]! + words[index + 7]! | 0;
    e = e + a | 0;
    a = a + ((b >>> 2 | b << 30) ^ (b >>> 13 | b << 19) ^ (b >>> 22 | b << 10)) +
        (b & c | d & (b | c)) | 0;
  }
  state[0] = state[0]! + a | 0;
  state[1] = state[1]! + b | 0;
  state[2] = state[2]! + c | 0;
  state[3] = state[3]! + d | 0;
  state[4] = state[4]! + e | 0;
  state[5] = state[5]! + f | 0;
  state[6] = state[6]! + g | 0;
  state[7] = state[7]! + h | 0;
}

function isPrime(candidate: number): boolean {
  for (let divisor = 2; divisor * divisor <= candidate; divisor++) {
    if (candidate % divisor === 0) return false;
  }
  return true;
}

function fraction(root: number): number {
  return (root - Math.floor(root)) * 2 ** 32 | 0;
}
