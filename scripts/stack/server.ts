import { Failure } from "./failure.ts";

/** A request handler of one path prefix. */
export interface Route {
  prefix: string;
  fetch(request: Request, info: Deno.ServeHandlerInfo): Promise<Response>;
}

/** The stack's HTTP server. */
export interface Server {
  port: number;
  /** Begins to serve; until then every path answers 503. */
  open(routes: Route[]): void;
  /** Lets requests that are under way finish, for a second. Safe to call twice. */
  close(): Promise<void>;
}

/** The largest request body that is read; hosted has the same order of magnitude. */
export const bodyLimit = 10 * 1024 * 1024;

/** Takes a loopback port at once, so that a taken one is known before anything else starts. */
export function listen(port: number): Server {
  let routes: Route[] | null = null;
  let closing: Promise<void> | undefined;
  const handle = async (request: Request, info: Deno.ServeHandlerInfo): Promise<Response> => {
    const { pathname } = new URL(request.url);
    if (!routes) return problem(503, "STARTING", "The stack is starting");
    // fetch() has no TRACE, and takes `get` for one that may have a body.
    if (!/^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)$/.test(request.method)) {
      return problem(405, "METHOD_NOT_ALLOWED", "No such method");
    }
    if (pathname === "/health") return Response.json({ status: "ok" });
    const route = routes.find(({ prefix }) => pathname.startsWith(prefix));
    if (!route) return problem(404, "NOT_FOUND", "No such path");
    const limited = await withinLimit(request);
    if (!limited) return problem(413, "BODY_TOO_LARGE", "The request body is too large");
    // As every proxy in front of a hosted project does: who called is appended to what they claim.
    const peer = (info.remoteAddr as Deno.NetAddr).hostname;
    limited.headers.append("x-forwarded-for", peer);
    return route.fetch(limited, info);
  };
  const onError = (thrown: unknown) => {
    const correlationId = crypto.randomUUID();
    console.error(`server: ${correlationId}`, thrown);
    return problem(500, "INTERNAL", "Internal error", { correlation_id: correlationId });
  };
  try {
    const server = Deno.serve(
      { hostname: "127.0.0.1", port, onListen: () => {}, onError },
      handle,
    );
    return {
      port: server.addr.port,
      open: (opened) => void (routes = opened),
      close: () => closing ??= close(server),
    };
  } catch (thrown) {
    if (!(thrown instanceof Deno.errors.AddrInUse)) throw thrown;
    throw new Failure(
      "PORT_TAKEN",
      `Cannot listen on 127.0.0.1:${port}: the port is taken; stop what uses it, or choose ` +
        "another with npm start -- --port <port>",
    );
  }
}

/** Idle keep-alive connections would hold an orderly shutdown open, so it has a limit. */
async function close(server: Deno.HttpServer): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const limit = new Promise<void>((resolve) => timer = setTimeout(resolve, 1000));
  await Promise.race([server.shutdown(), limit]);
  clearTimeout(timer);
}

/**
 * The request with its body read, or null when that exceeds the limit. It does not carry the
 * server's abort signal, which in this Deno fires after every answer.
 */
async function withinLimit(request: Request): Promise<Request | null> {
  const { url, method, headers } = request;
  if (!request.body) return new Request(url, { method, headers });
  if (Number(headers.get("content-length") ?? 0) > bodyLimit) return null;
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  for await (const chunk of request.body) {
    size += chunk.length;
    if (size > bodyLimit) return null;
    chunks.push(chunk);
  }
  return new Request(url, { method, headers, body: new Blob(chunks) });
}

/** An answer without success, in the form of all errors. */
export function problem(status: number, code: string, message: string, more = {}): Response {
  return Response.json({ code, message, ...more }, {
    status,
    headers: { "access-control-allow-origin": "*" },
  });
}
