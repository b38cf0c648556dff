import { createHmac } from "node:crypto";
import type { Secrets } from "./secrets.ts";

/** The program behind a path prefix of the gateway. */
export interface Upstream {
  /** `/auth/v1`: what is taken off a path before the program sees it. */
  prefix: string;
  /** Where the program listens. */
  url: string;
  /** Paths that need no API key: browsers follow links to them. */
  open?: RegExp;
}

/**
 * Does what the hosted gateway does in front of a program: refuses requests without one of the
 * project's API keys, and gives those that carry no user's token the token of the key's role,
 * because the programs behind it know tokens alone.
 */
export function throughGateway(
  { prefix, url, open }: Upstream,
  secrets: Pick<Secrets, "jwtSecret" | "publishableKey" | "secretKey">,
): (request: Request) => Promise<Response> {
  const tokens = new Map([
    [secrets.publishableKey, roleToken("anon", secrets.jwtSecret)],
    [secrets.secretKey, roleToken("service_role", secrets.jwtSecret)],
  ]);
  return async (request) => {
    const asked = new URL(request.url);
    const path = asked.pathname.slice(prefix.length);
    const headers = new Headers(request.headers);
    const key = headers.get("apikey") ?? asked.searchParams.get("apikey") ?? "";
    const token = tokens.get(key);
    if (!token && !open?.test(path)) {
      return Response.json({
        message: key ? "Invalid API key" : "No API key found in request",
        hint: "Send the publishable or the secret key in the header apikey",
      }, { status: 401 });
    }
    const bearer = /^Bearer +(.+)$/i.exec(headers.get("authorization") ?? "")?.[1] ?? "";
    const ownToken = bearer ? tokens.get(bearer) ?? bearer : token;
    if (ownToken) headers.set("authorization", `Bearer ${ownToken}`);
    headers.set("x-forwarded-host", asked.host);
    headers.set("x-forwarded-proto", asked.protocol.slice(0, -1));
    // Deno would decompress the answer and leave the header that says it is compressed.
    headers.set("accept-encoding", "identity");
    for (const name of ["host", "connection", "content-length"]) headers.delete(name);
    asked.searchParams.delete("apikey");
    try {
      return await fetch(url + path + asked.search, {
        method: request.method,
        headers,
        redirect: "manual",
        ...request.body ? { body: await request.arrayBuffer() } : {},
      });
    } catch {
      return Response.json({ message: "The upstream server does not answer" }, { status: 503 });
    }
  };
}

/** The token of a role, as the legacy API keys were: HS256, without an end. */
function roleToken(role: string, secret: string): string {
  const encode = (part: object) => btoa(JSON.stringify(part)).replace(/=+$/, "");
  const signed = `${encode({ alg: "HS256", typ: "JWT" })}.${encode({ iss: "supabase", role })}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}
