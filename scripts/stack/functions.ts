import { Buffer } from "node:buffer";
import { createPrivateKey, createPublicKey } from "node:crypto";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { exists } from "./binaries.ts";
import { functionSecrets, type Secrets } from "./secrets.ts";

type Handler = (request: Request, info: Deno.ServeHandlerInfo) => Response | Promise<Response>;

/** Serves `/functions/v1/<name>/...` from the folders that get deployed. */
export interface Functions {
  fetch(request: Request, info: Deno.ServeHandlerInfo): Promise<Response>;
}

/**
 * Mounts the edge functions of a folder. Each is loaded at its first request by running its
 * `index.ts`, which calls `Deno.serve(handler)` as it does when deployed; the handler sees the URL
 * that the hosted gateway gives it, with the path `/<name>/...`. A function that cannot be loaded
 * or that throws answers 500 with a correlation id, and the log has the rest.
 */
export function mountFunctions(folder: string): Functions {
  const loaded = new Map<string, Promise<Handler>>();
  let loading: Promise<unknown> = Promise.resolve();

  const load = (name: string): Promise<Handler> => {
    const known = loaded.get(name);
    if (known) return known;
    // One at a time: while a module loads, `Deno.serve` stands for that module's call.
    const handler = loading.then(() => captureHandler(join(folder, name, "index.ts")));
    loading = handler.catch(() => {});
    loaded.set(name, handler);
    return handler;
  };

  return {
    async fetch(request, info) {
      const url = new URL(request.url);
      const [name = "", ...rest] = url.pathname.replace("/functions/v1/", "").split("/");
      if (!/^[A-Za-z][\w-]*$/.test(name) || !exists(join(folder, name, "index.ts"))) {
        return Response.json(
          { code: "NOT_FOUND", message: "Requested function was not found" },
          { status: 404, headers: { "access-control-allow-origin": "*" } },
        );
      }
      url.pathname = ["", name, ...rest].join("/");
      try {
        const handler = await load(name);
        return await handler(new Request(url, request), info);
      } catch (thrown) {
        const correlationId = crypto.randomUUID();
        console.error(`functions/${name}: ${correlationId}`, thrown);
        return Response.json(
          { code: "INTERNAL", message: "Internal error", correlation_id: correlationId },
          { status: 500, headers: { "access-control-allow-origin": "*" } },
        );
      }
    },
  };
}

/** Sets what the hosted runtime sets in every function's environment. */
export function setFunctionEnvironment(url: string, secrets: Secrets): void {
  Deno.env.set("SUPABASE_URL", url);
  Deno.env.set("SUPABASE_ANON_KEY", secrets.publishableKey);
  Deno.env.set("SUPABASE_SERVICE_ROLE_KEY", secrets.secretKey);
  Deno.env.set("SUPABASE_PUBLISHABLE_KEYS", JSON.stringify({ default: secrets.publishableKey }));
  Deno.env.set("SUPABASE_SECRET_KEYS", JSON.stringify({ default: secrets.secretKey }));
  for (const [name, value] of Object.entries(functionSecrets(secrets))) Deno.env.set(name, value);
  Deno.env.set("BULWARK_JWT_SECRET", secrets.jwtSecret);
  // The stack reports leaks to itself; a hosted project asks for GitHub's keys.
  Deno.env.set("BULWARK_SCANNER_KEYS", publishedScannerKey(secrets.scannerPrivateKey));
  // The stack's own server appends the client's address; see server.ts.
  if (!Deno.env.get("BULWARK_ADDRESS_HEADER")) {
    Deno.env.set("BULWARK_ADDRESS_HEADER", "x-forwarded-for");
  }
  // Receivers on this machine: what a hosted project never allows.
  const loopback = Deno.env.get("BULWARK_WEBHOOKS_ALLOW_LOOPBACK");
  if (!loopback) Deno.env.set("BULWARK_WEBHOOKS_ALLOW_LOOPBACK", "true");
  Deno.env.set("BULWARK_AUDIT_ORIGIN", auditOrigin());
}

/** The name of the audit log, which it keeps whatever port it is served on. */
export function auditOrigin(): string {
  return Deno.env.get("BULWARK_AUDIT_ORIGIN") || "bulwark.localhost/audit";
}

/** The public half of the scanner's key, in the form in which GitHub publishes its own. */
function publishedScannerKey(privateKey: string): string {
  const key = createPublicKey(
    createPrivateKey({ key: Buffer.from(privateKey, "base64"), format: "der", type: "pkcs8" }),
  ).export({ type: "spki", format: "pem" });
  return JSON.stringify({ public_keys: [{ key_identifier: "local", key, is_current: true }] });
}

async function captureHandler(path: string): Promise<Handler> {
  const original = Deno.serve;
  let captured: Handler | undefined;
  const capture = (...args: unknown[]) => {
    captured = args.find((arg) => typeof arg === "function") as Handler | undefined ??
      (args[0] as { handler?: Handler } | undefined)?.handler;
    return { finished: new Promise<void>(() => {}), shutdown: async () => {} };
  };
  Object.defineProperty(Deno, "serve", { value: capture, configurable: true, writable: true });
  try {
    await import(pathToFileURL(path).href);
  } finally {
    Object.defineProperty(Deno, "serve", { value: original, configurable: true, writable: true });
  }
  if (!captured) throw new Error(`${path} does not call Deno.serve`);
  return captured;
}
