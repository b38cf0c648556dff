/** Calls that need a fresh second factor, against a server that asks for one as Bulwark does. */
import assert from "node:assert/strict";
import { FunctionsClient } from "@supabase/functions-js";
import { PostgrestClient } from "@supabase/postgrest-js";
import { type BulwarkError, type Client, createBulwark } from "../../../clients/js/src/index.ts";

const required = "MFA_VERIFICATION_REQUIRED";
const verification = "/bulwark-mfa/verify";

/** A session that proved no factor. Until it does, both ways refuse everything else. */
function serve() {
  let isVerified = false;
  const seen: string[] = [];
  /** Answers to a path wait for the promise. */
  const delays = new Map<string, Promise<unknown>>();
  const refusal = (status: number, code: string, isFunction: boolean) => {
    const correlation_id = crypto.randomUUID();
    const body = isFunction ? { code, correlation_id } : { code: "42501", details: code };
    return Response.json({ ...body, message: "Cannot proceed" }, { status });
  };
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    async (request) => {
      const { pathname } = new URL(request.url);
      seen.push(pathname);
      if (pathname === verification) {
        isVerified = (await request.json()).code === "123456";
        return isVerified ? Response.json({}) : refusal(400, "MFA_CODE_REFUSED", true);
      }
      const allowed = isVerified;
      await delays.get(pathname);
      if (!allowed) return refusal(403, required, !pathname.startsWith("/rpc/"));
      return Response.json(
        pathname === "/rpc/search_audit_logs" ? { entries: [], next: null } : {},
      );
    },
  );
  const url = `http://127.0.0.1:${server.addr.port}`;
  const open = (
    onVerificationRequired: (refusal: BulwarkError) => Promise<string | true | null>,
  ) => {
    const rest = new PostgrestClient(url, { schema: "bulwark" });
    return createBulwark({
      rpc: (name: string, args: object) => rest.rpc(name, args),
      from: (table: string) => rest.from(table),
      functions: new FunctionsClient(url),
    }, { onVerificationRequired });
  };
  return { open, seen, delays, [Symbol.asyncDispose]: () => server.shutdown() };
}

const codeOf = async (call: Promise<{ error: BulwarkError | null }>) => (await call).error?.code;

Deno.test("CLIENT-28: calls by either way, iterators and exports share one question", async () => {
  await using server = serve();
  let asked = 0;
  const bulwark = server.open(() => Promise.resolve(++asked === 1 ? "123456" : null));
  const all = await Promise.all([
    codeOf(bulwark.mfa.newBackupCodes()),
    codeOf(bulwark.apiKeys.revoke("id", "lost")),
    bulwark.audit.entries().next().then(({ done }) => done),
  ]);
  assert.deepEqual([all, asked], [[undefined, undefined, true], 1]);
  assert.equal(server.seen.filter((path) => path === verification).length, 1);
});

Deno.test("CLIENT-29: a handler that rejects or throws gives the refusal, and is asked again", async () => {
  await using server = serve();
  const reason = new Error("no dialog");
  const handlers = [
    () => Promise.reject(reason),
    () => {
      throw reason;
    },
    () => Promise.resolve("000000"),
    () => Promise.resolve("123456"),
  ];
  const bulwark = server.open(() => handlers.shift()!());
  for (let time = 0; time < 2; time++) {
    const { error } = await bulwark.mfa.newBackupCodes();
    assert.deepEqual([error?.code, error?.status, error?.cause], [required, 403, reason]);
    assert.equal(error?.message, "Cannot proceed");
    assert.match(error?.correlationId ?? "", /^[\da-f-]{36}$/);
  }
  assert.equal(await codeOf(bulwark.mfa.newBackupCodes()), "MFA_CODE_REFUSED");
  assert.equal(await codeOf(bulwark.mfa.newBackupCodes()), undefined);
});

Deno.test("CLIENT-30: without an answer calls wait, an aborted one leaves, a later one is refused", async () => {
  await using server = serve();
  const { promise: answer, resolve } = Promise.withResolvers<string>();
  const opened = Promise.withResolvers<void>();
  let asked = 0;
  const bulwark = server.open(() => {
    asked++;
    opened.resolve();
    return answer;
  });
  const stop = new AbortController();
  const leaving = bulwark.audit.export({ organization: null, signal: stop.signal }).getReader();
  const left = leaving.read();
  const waiting = codeOf(bulwark.mfa.newBackupCodes());
  await opened.promise;
  assert.equal(await codeOf(bulwark.mfa.trustDevice()), required);
  stop.abort();
  await assert.rejects(left, { code: "CLIENT_ABORTED", status: 0 });
  resolve("123456");
  assert.deepEqual([await waiting, asked], [undefined, 1]);
});

Deno.test("CLIENT-31: a refused call of the handler itself does not hold the handler up", async () => {
  await using server = serve();
  const inside: unknown[] = [];
  const bulwark: Client = server.open(async () => {
    await Promise.resolve();
    inside.push(await codeOf(bulwark.mfa.trustDevice()));
    inside.push(await codeOf(bulwark.mfa.verify("123456")));
    inside.push(await codeOf(bulwark.mfa.trustDevice()));
    return true;
  });
  assert.equal(await codeOf(bulwark.mfa.newBackupCodes()), undefined);
  assert.deepEqual(inside, [required, undefined, undefined]);
});

Deno.test("CLIENT-32: a call that was sent before the answer shares it, also a refusal", async () => {
  await using server = serve();
  const answers = [null, "000000", "123456"];
  let asked = 0;
  const bulwark = server.open(() => Promise.resolve(answers[asked++] ?? null));
  const slow = "/bulwark-mfa/devices";
  for (const expected of [required, "MFA_CODE_REFUSED", undefined]) {
    const { promise, resolve } = Promise.withResolvers<void>();
    server.delays.set(slow, promise);
    const late = codeOf(bulwark.mfa.trustDevice());
    while (server.seen.at(-1) !== slow) await new Promise((done) => setTimeout(done, 1));
    assert.equal(await codeOf(bulwark.mfa.newBackupCodes()), expected);
    resolve();
    assert.equal(await late, expected);
  }
  assert.equal(asked, 3);
});
