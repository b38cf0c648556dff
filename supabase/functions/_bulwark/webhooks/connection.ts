/** TCP and TLS connections to a checked address. */
import { withTimeout } from "../foundation/timeout.ts";

/** The target of a connection. */
export interface Target {
  /** The checked IP address. */
  address: string;
  port: number;
  /** The name that the certificate must match; null: plain TCP. */
  tlsName: string | null;
}

/** A connection, as {@link Deno.Conn} has it. */
export type Connection = Pick<Deno.Conn, "read" | "write" | "close">;

/** Opens a connection. */
export type Dial = (target: Target, timeoutMs: number) => Promise<Connection>;

/** Failed to connect. The message is for the delivery log and contains no address. */
export class ConnectionFailure extends Error {
  override readonly name = "ConnectionFailure";
}

/**
 * Connects to an address. The name is used only in the TLS handshake and is not resolved again, so
 * the checked address is the one connected to.
 * @param authorities certificates (PEM) that are trusted besides the runtime's own
 */
export function dialer(authorities: string[] = []): Dial {
  return async ({ address, port, tlsName }, timeoutMs) => {
    const deadline = performance.now() + timeoutMs;
    const connecting = Deno.connect({ hostname: address, port, transport: "tcp" });
    const connection = await inTime(timeoutMs, connecting);
    try {
      connection.setNoDelay(true);
      if (tlsName === null) return connection;
      const securing = Deno.startTls(connection, {
        hostname: tlsName,
        caCerts: authorities,
        alpnProtocols: ["http/1.1"],
      }).then(async (secured) => {
        try {
          await secured.handshake();
        } catch (thrown) {
          quietlyClose(secured);
          throw thrown;
        }
        return secured;
      });
      return await inTime(deadline - performance.now(), securing);
    } catch (thrown) {
      quietlyClose(connection);
      throw thrown;
    }
  };
}

/** Waits for a connection; one that arrives after the timeout is closed. */
async function inTime<C extends Connection>(timeoutMs: number, coming: Promise<C>): Promise<C> {
  const fallback = () => {
    coming.then(quietlyClose, () => {});
    throw new ConnectionFailure("no connection in time");
  };
  try {
    return await withTimeout(coming, { timeoutMs, fallback });
  } catch (thrown) {
    if (thrown instanceof ConnectionFailure) throw thrown;
    const certificate = thrown instanceof Error && /certificate|handshake/i.test(thrown.message);
    throw new ConnectionFailure(certificate ? "the TLS handshake failed" : "connection refused");
  }
}

/** Closes a connection that may be closed already. */
export function quietlyClose(connection: Connection): void {
  try {
    connection.close();
  } catch {
    // Already closed.
  }
}
