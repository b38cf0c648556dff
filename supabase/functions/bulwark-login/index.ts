/**
 * Function `bulwark-login`: signs in with Supabase Auth and returns Auth's answer. The caller is charged
 * before the body is read, then the address and the account, which need not exist. Every refusal of
 * Auth is the same 401.
 */
import { answering } from "../_bulwark/foundation/answering.ts";
import { BulwarkError } from "../_bulwark/foundation/errors.ts";
import { correlationIdOf, handle } from "../_bulwark/foundation/http.ts";
import { serviceClient } from "../_bulwark/foundation/service.ts";
import { clientAddress } from "../_bulwark/rate_limits/address.ts";
import { readRateLimitEnv } from "../_bulwark/rate_limits/env.ts";
import { rateLimitHeaders, refusal } from "../_bulwark/rate_limits/headers.ts";
import { beginLogin, finishLogin, originOf, signIn } from "../_bulwark/rate_limits/login.ts";
import { openLimits } from "../_bulwark/rate_limits/mod.ts";
import { operations } from "../_bulwark/rate_limits/operations.ts";

const env = readRateLimitEnv();

const answer = answering(operations, { env, limit: openLimits(env) }, {
  async login({ request, asked }) {
    const correlationId = correlationIdOf(request);
    const client = serviceClient(env, correlationId);
    const origin = originOf(request, clientAddress(request, env), env.placeHeaders);
    const decision = await beginLogin(client, asked, origin);
    if (!decision.allowed) return refusal(decision, correlationId);
    const session = await signIn(env, asked, origin);
    await finishLogin(client, asked, origin, session);
    if (session) return Response.json(session, { headers: rateLimitHeaders(decision) });
    const failed = new BulwarkError(401, "LOGIN_FAILED", "Cannot sign in: that is not right");
    failed.headers = rateLimitHeaders(decision);
    throw failed;
  },
});

Deno.serve(handle(answer));
