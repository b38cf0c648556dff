/** For tests: receivers on this machine, and certificates of a private authority. */
import { dialer } from "../../../supabase/functions/_bulwark/webhooks/connection.ts";
import { openPool } from "../../../supabase/functions/_bulwark/webhooks/pool.ts";
import { type Network, send } from "../../../supabase/functions/_bulwark/webhooks/send.ts";

/** A receiver with a scripted behaviour. */
export interface Receiver extends AsyncDisposable {
  port: number;
  /** Number of connections. */
  connections: number;
  /** Received text by connection. */
  received: string[];
}

/** A receiver's behaviour on a connection, which is closed at the end. */
export type Behaviour = (connection: Deno.Conn, receiver: Receiver) => Promise<unknown>;

/** Starts a receiver on loopback, with TLS if it has a certificate. */
export function startReceiver(behave: Behaviour, tls?: { cert: string; key: string }): Receiver {
  const at = { hostname: "127.0.0.1", port: 0 };
  const listener = tls ? Deno.listenTls({ ...at, ...tls }) : Deno.listen(at);
  const open = new Map<Deno.Conn, Promise<void>>();
  const receiver: Receiver = {
    port: listener.addr.port,
    connections: 0,
    received: [],
    async [Symbol.asyncDispose]() {
      listener.close();
      for (const connection of open.keys()) close(connection);
      await Promise.all([accepting, ...open.values()]);
    },
  };
  const accepting = (async () => {
    for (;;) {
      let connection: Deno.Conn;
      try {
        connection = await listener.accept();
      } catch (thrown) {
        if (thrown instanceof Deno.errors.BadResource) return;
        // A failed handshake is tested on the other side.
        continue;
      }
      receiver.connections++;
      const done = behave(connection, receiver).then(() => {}, () => {}).finally(() => {
        open.delete(connection);
        close(connection);
      });
      open.set(connection, done);
    }
  })().catch(() => {});
  return receiver;
}

function close(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch {
    // Already closed.
  }
}

/** Reads one request with a body; undefined if it is incomplete. */
export async function readRequest(connection: Deno.Conn): Promise<string> {
  const chunk = new Uint8Array(65_536);
  let text = "";
  for (;;) {
    const count = await connection.read(chunk);
    if (count === null) return text;
    text += new TextDecoder().decode(chunk.subarray(0, count));
    const end = text.indexOf("\r\n\r\n");
    const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
    if (end >= 0 && text.length >= end + 4 + length) return text;
  }
}

/** A behaviour that answers each request of a connection with these bytes. */
export function answering(...answers: string[]): Behaviour {
  return async (connection, receiver) => {
    for (let index = 0;; index++) {
      const request = await readRequest(connection);
      if (request === "") return;
      receiver.received.push(request);
      const answer = answers[Math.min(index, answers.length - 1)] ?? "";
      await connection.write(new TextEncoder().encode(answer));
      if (!/content-length|chunked|HTTP\/1.1 204/i.test(answer)) return;
    }
  };
}

/** A private authority (PEM), and a certificate of it for a name. */
export async function makeCertificate(name: string) {
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  const [authority, server] = await Promise.all(
    [1, 2].map(async () =>
      await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]) as CryptoKeyPair
    ),
  ) as [CryptoKeyPair, CryptoKeyPair];
  const ca = await certificate({
    subject: "Test authority",
    publicKey: authority.publicKey,
    // Basic constraints: an authority.
    extension: [[0x55, 0x1d, 0x13], sequence(der(0x01, [0xff]))],
  }, authority.privateKey);
  const cert = await certificate({
    subject: "Test receiver",
    publicKey: server.publicKey,
    // Subject alternative name: this host.
    extension: [[0x55, 0x1d, 0x11], sequence(der(0x82, [...new TextEncoder().encode(name)]))],
  }, authority.privateKey);
  const key = new Uint8Array(await crypto.subtle.exportKey("pkcs8", server.privateKey));
  return {
    ca: pem("CERTIFICATE", ca),
    cert: pem("CERTIFICATE", cert),
    key: pem("PRIVATE KEY", [...key]),
  };
}

/** An X.509 certificate (RFC 5280), in DER. */
async function certificate(
  { subject, publicKey, extension: [id, value] }: {
    subject: string;
    publicKey: CryptoKey;
    extension: [number[], number[]];
  },
  issuerKey: CryptoKey,
): Promise<number[]> {
  const ecdsaWithSha256 = sequence(der(0x06, [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]));
  const name = (text: string) =>
    sequence(
      der(
        0x31,
        sequence(der(0x06, [0x55, 0x04, 0x03]), der(0x0c, [...new TextEncoder().encode(text)])),
      ),
    );
  const time = (text: string) => der(0x17, [...new TextEncoder().encode(text)]);
  const body = sequence(
    der(0xa0, der(0x02, [2])),
    der(0x02, [1, ...crypto.getRandomValues(new Uint8Array(8))]),
    ecdsaWithSha256,
    name("Test authority"),
    sequence(time("200101000000Z"), time("491231235959Z")),
    name(subject),
    [...new Uint8Array(await crypto.subtle.exportKey("spki", publicKey))],
    der(0xa3, sequence(sequence(der(0x06, id), der(0x04, value)))),
  );
  const raw = new Uint8Array(
    await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, issuerKey, new Uint8Array(body)),
  );
  const signature = sequence(integer(raw.subarray(0, 32)), integer(raw.subarray(32)));
  return sequence(body, ecdsaWithSha256, der(0x03, [0, ...signature]));
}

function integer(bytes: Uint8Array): number[] {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const significant = [...bytes.subarray(start)];
  return der(0x02, (significant[0] ?? 0) > 127 ? [0, ...significant] : significant);
}

function sequence(...parts: number[][]): number[] {
  return der(0x30, parts.flat());
}

function der(tag: number, content: number[]): number[] {
  const { length } = content;
  if (length < 128) return [tag, length, ...content];
  return length < 256
    ? [tag, 0x81, length, ...content]
    : [tag, 0x82, length >> 8, length & 255, ...content];
}

function pem(label: string, bytes: number[]): string {
  const lines = btoa(String.fromCharCode(...bytes)).replace(/.{64}/g, "$&\n").trimEnd();
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}

/** A message, and a short answer. */
export const message = {
  owner: "endpoint",
  headers: { "webhook-id": "1" },
  body: '{"type":"webhook.test"}',
};
export const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** The network of {@link posting}: loopback is allowed, and timeouts are short. */
export function network(options: Partial<Network> = {}): Network & Disposable {
  const pool = openPool();
  return {
    resolve: () => Promise.resolve(["127.0.0.1"]),
    dial: dialer(),
    policy: { allowLoopback: true },
    connectTimeoutMs: 2000,
    timeoutMs: 2000,
    pool,
    [Symbol.dispose]: () => pool.close(),
    ...options,
  };
}

/** Runs a check that posts the message to a receiver with this behaviour. */
export async function posting(
  behaviour: Behaviour,
  check: (post: () => ReturnType<typeof send>, receiver: Receiver) => Promise<unknown>,
  options: Partial<Network> = {},
) {
  await using receiver = startReceiver(behaviour);
  using net = network(options);
  await check(
    () => send(net, new URL(`http://127.0.0.1:${receiver.port}/hook`), message),
    receiver,
  );
}
