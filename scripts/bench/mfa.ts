/**
 * The cost of a verification through the function: throughput, latency, and the share of the database.
 * Compared with three calls of the Data API that do almost nothing, because the function makes three.
 */
import { createHmac } from "node:crypto";
import { HOTP, Secret } from "otpauth";
import { openDataKeys } from "../../supabase/functions/_bulwark/encryption/mod.ts";
import { readMfaEnv } from "../../supabase/functions/_bulwark/mfa/env.ts";
import { sealSecret } from "../../supabase/functions/_bulwark/mfa/factor.ts";
import { makeSecret } from "../../supabase/functions/_bulwark/mfa/totp.ts";
import { serviceClient } from "../../supabase/functions/_bulwark/foundation/service.ts";
import { serveApi } from "./api.ts";
import { bench, median } from "./harness.ts";

/** Somebody with a factor and a session. */
interface Account {
  id: string;
  session: string;
  factor: string;
  secret: string;
  token: string;
}

const accounts = 200;
const atOnce = 8;

export default bench({
  async setup(context) {
    const { postgres, log } = context;
    const { origin, secrets } = await serveApi(context);
    log(`${accounts} accounts with a factor each, ${atOnce} of them at once`);
    const env = readMfaEnv();
    const keys = openDataKeys(serviceClient(env, "bench-mfa"), env);
    const people: Account[] = [];
    for (let n = 0; n < accounts; n++) {
      const [id, session, factor] = [0, 1, 2].map(() => crypto.randomUUID()) as [
        string,
        string,
        string,
      ];
      const secret = makeSecret();
      const sealed = await sealSecret(keys, { factorId: factor, userId: id }, secret);
      await postgres`insert into auth.users (id, email) values (${id}, ${`${n}@bench.test`})`;
      await postgres`insert into auth.sessions (id, user_id) values (${session}, ${id})`;
      await postgres`
        insert into bulwark.mfa_secrets
          (id, user_id, name, secret, begun_in, begun_as_first, activated_at)
        values (${factor}, ${id}, 'Phone', ${sealed}, ${session}, true, now())
      `;
      people.push({ id, session, factor, secret, token: sign(secrets.jwtSecret, id, session) });
    }

    const post = async (path: string, token: string, body: object) => {
      const answer = await fetch(`${origin}${path}`, {
        method: "POST",
        headers: {
          apikey: secrets.publishableKey,
          authorization: `Bearer ${token}`,
          "content-type": "application/json",
          "content-profile": "bulwark",
        },
        body: JSON.stringify(body),
      });
      const text = await answer.text();
      if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`);
    };
    const verify = ({ secret, token }: Account) =>
      post("/functions/v1/bulwark-mfa/verify", token, { code: codeNow(secret) });
    const threeCalls = async ({ token }: Account) => {
      for (let n = 0; n < 3; n++) {
        await post("/rest/v1/rpc/mfa_verified", token, { max_age: "1 minute" });
      }
    };
    /** The statements of one verification, as the Data API runs them, on one connection. */
    const inDatabase = async ({ id, session, factor }: Account) => {
      const claims = JSON.stringify({ sub: id, role: "authenticated", session_id: session });
      const step = Math.floor(Date.now() / 30_000);
      const attempt = await postgres.begin(async (sql) => {
        await sql`
          select set_config('request.jwt.claims', ${claims}, true),
            set_config('role', 'authenticated', true)
        `;
        const [row] = await sql`select bulwark.begin_mfa_attempt('verify') as id`;
        return row?.id;
      });
      await postgres`select * from bulwark.open_mfa_attempt(${attempt})`;
      await postgres`select bulwark.complete_mfa_verification(${attempt}, ${factor}, ${step})`;
    };
    /** Every account once; codes are spent, so what was burnt is forgotten before. */
    const all = async (task: (account: Account) => Promise<void>) => {
      await postgres`update bulwark.mfa_secrets set last_step = 0`;
      const durations: number[] = [];
      const waiting = [...people];
      const start = performance.now();
      await Promise.all(Array.from({ length: atOnce }, async () => {
        for (let next = waiting.pop(); next; next = waiting.pop()) {
          const begin = performance.now();
          await task(next);
          durations.push(performance.now() - begin);
        }
      }));
      const perSecond = people.length / (performance.now() - start) * 1000;
      return { perSecond, durations: durations.sort((a, b) => a - b) };
    };
    const alone = async (task: (account: Account) => Promise<void>) => {
      await postgres`update bulwark.mfa_secrets set last_step = 0`;
      const durations: number[] = [];
      for (const account of people.slice(0, 50)) {
        const begin = performance.now();
        await task(account);
        durations.push(performance.now() - begin);
      }
      return median(durations);
    };
    const p = (durations: number[], share: number) =>
      durations[Math.min(durations.length - 1, Math.floor(durations.length * share))] ?? NaN;

    const three = "three calls of the Data API that do nothing";
    return [
      {
        name: `verifications, ${atOnce} at once`,
        unit: "a second",
        better: "higher",
        ours: async () => (await all(verify)).perSecond,
        peers: [{ name: three, run: async () => (await all(threeCalls)).perSecond }],
      },
      ...([["p50", 0.5], ["p99", 0.99]] as const).map(([name, share]) => ({
        name: `${name}, ${atOnce} at once`,
        unit: "ms",
        better: "lower" as const,
        ours: async () => p((await all(verify)).durations, share),
        peers: [{ name: three, run: async () => p((await all(threeCalls)).durations, share) }],
      })),
      {
        name: "one alone",
        unit: "ms",
        better: "lower",
        ours: () => alone(verify),
        peers: [
          { name: "its statements in the database", run: () => alone(inDatabase) },
          { name: three, run: () => alone(threeCalls) },
        ],
      },
    ];
  },
});

function codeNow(secret: string): string {
  const counter = Math.floor(Date.now() / 30_000);
  return HOTP.generate({ secret: Secret.fromBase32(secret), counter, digits: 6 });
}

/** An access token as the local Auth signs it (HS256). */
function sign(jwtSecret: string, sub: string, session_id: string): string {
  const encode = (value: object) => btoa(JSON.stringify(value)).replace(/=+$/, "");
  const now = Math.floor(Date.now() / 1000);
  const claims = { sub, session_id, role: "authenticated", aud: "authenticated", iat: now };
  const head = `${encode({ alg: "HS256", typ: "JWT" })}.${encode({ ...claims, exp: now + 7200 })}`;
  const signature = createHmac("sha256", jwtSecret).update(head).digest("base64url");
  return `${head}.${signature}`;
}
