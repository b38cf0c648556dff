/**
 * Function `bulwark-login`: `POST /bulwark-login` with `{ email, password }` signs in with Supabase Auth
 * and returns Auth's answer. The caller is charged before the body is read, then the address and the
 * account, which need not exist. Every refusal of Auth is the same 401.
 */
import { z } from "zod";
import { readRateLimitEnv } from "../_bulwark/rate_limits/env.ts";
import { BulwarkError } from "../_bulwark/foundation/errors.ts";
import { correlationIdOf, handle, readJson } from "../_bulwark/foundation/http.ts";
import { parse, text } from "../_bulwark/foundation/input.ts";
import { clientAddress } from "../_bulwark/rate_limits/address.ts";
import { rateLimitHeaders, refusal } from "../_bulwark/rate_limits/headers.ts";
import { beginLogin, finishLogin, originOf, signIn } from "../_bulwark/rate_limits/login.ts";
import { openLimits } from "../_bulwark/rate_limits/mod.ts";
import { router } from "../_bulwark/foundation/router.ts";
import { serviceClient } from "../_bulwark/foundation/service.ts";

const credentials = z.strictObject({
  // Auth validates the address.
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
  const session = await signIn(env, asked, origin);
  await finishLogin(client, asked, origin, session);
  if (session) return Response.json(session, { headers: rateLimitHeaders(decision) });
  const failed = new BulwarkError(401, "LOGIN_FAILED", "Cannot sign in: that is not right");
  failed.headers = rateLimitHeaders(decision);
  throw failed;
});

Deno.serve(handle(router(limit, { "POST /bulwark-login": answer })));
