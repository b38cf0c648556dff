/**
 * Function `login`: `POST /login` with `{ email, password }` signs in with Supabase Auth, and answers
 * as Auth does. The caller is charged before anything is read, then the address and the account,
 * whether that exists or not; whatever Auth refuses is the same 401.
 */
import { z } from "zod";
import { readRateLimitEnv } from "../_shared/env.ts";
import { BulwarkError } from "../_shared/errors.ts";
import { correlationIdOf, handle, readJson } from "../_shared/http.ts";
import { parse, text } from "../_shared/input.ts";
import { clientAddress } from "../_shared/rate_limit/address.ts";
import { rateLimitHeaders, refusal } from "../_shared/rate_limit/headers.ts";
import { beginLogin, finishLogin, originOf, signIn } from "../_shared/rate_limit/login.ts";
import { openLimits } from "../_shared/rate_limit.ts";
import { router } from "../_shared/router.ts";
import { serviceClient } from "../_shared/service.ts";

const credentials = z.strictObject({
  // Which addresses there are is Auth's to judge.
  email: text.min(1).max(320),
  password: z.string().min(1).max(1024),
  captcha_token: z.string().max(8192).optional(),
});

const maximumBytes = 16 * 1024;

const env = readRateLimitEnv();
const limit = openLimits(env);

const answer = limit("api_default", async (request) => {
  const asked = parse(credentials, await readJson(request, maximumBytes));
  const correlationId = correlationIdOf(request);
  const client = serviceClient(env, correlationId);
  const origin = originOf(request, clientAddress(request, env), env.placeHeaders);
  const decision = await beginLogin(client, asked, origin);
  if (!decision.allowed) return refusal(decision, correlationId);
  const session = await signIn(env, asked);
  await finishLogin(client, asked, origin, session);
  if (session) return Response.json(session, { headers: rateLimitHeaders(decision) });
  const failed = new BulwarkError(401, "LOGIN_FAILED", "Cannot sign in: that is not right");
  failed.headers = rateLimitHeaders(decision);
  throw failed;
});

Deno.serve(handle(router(limit, { "POST /login": answer })));
