/**
 * Function `bulwark-encryption`: fields of declared columns, with a user's token.
 * - `POST …/encrypt` `{ table, organization_id, rows: [{ primary_key, fields }] }`: columns to write.
 * - `POST …/decrypt` `{ table, columns, primary_keys }`: the texts of rows that the caller can read.
 * - `POST …/find` `{ table, organization_id, column, value, cursor }`: the rows with a text.
 * - `POST …/rotate` `{ organization_id, purpose }`: a new data key.
 * - `POST …/work`, for the scheduler: re-encrypts, and rotates on request.
 */
import type { z } from "zod";
import { callerClient } from "../_bulwark/foundation/caller.ts";
import { decryptRows, encryptRows, findRows } from "../_bulwark/encryption/access.ts";
import { answering, refusalOf } from "../_bulwark/encryption/answers.ts";
import type { EncryptionError } from "../_bulwark/encryption/errors.ts";
import * as input from "../_bulwark/encryption/input.ts";
import { openDataKeys } from "../_bulwark/encryption/mod.ts";
import { rotate, work } from "../_bulwark/encryption/rotation.ts";
import { readEncryptionEnv } from "../_bulwark/encryption/env.ts";
import { readRateLimitEnv } from "../_bulwark/rate_limits/env.ts";
import { correlationIdOf, handle } from "../_bulwark/foundation/http.ts";
import { parse } from "../_bulwark/foundation/input.ts";
import { openLimits } from "../_bulwark/rate_limits/mod.ts";
import { router } from "../_bulwark/foundation/router.ts";
import { forScheduler, schedulerTimeoutMs } from "../_bulwark/foundation/scheduler.ts";
import { serviceClient } from "../_bulwark/foundation/service.ts";

const env = readEncryptionEnv();
const limit = openLimits(readRateLimitEnv());

const asService = (request: Request, options = {}) => {
  const service = serviceClient(env, correlationIdOf(request), options);
  return { service, keys: openDataKeys(service, env) };
};
const asCaller = (request: Request) => ({
  ...asService(request),
  caller: callerClient(request, env),
  refusal: (thrown: EncryptionError) => refusalOf(thrown, correlationIdOf(request)),
});
const forCaller = <Input>(
  rule: string,
  schema: z.ZodType<Input>,
  run: (parts: ReturnType<typeof asCaller>, asked: Input) => Promise<unknown>,
) => limit(rule, answering((request, body) => run(asCaller(request), parse(schema, body))));

const answer = router(limit, {
  "POST /bulwark-encryption/encrypt": forCaller("api_relaxed", input.encryptInput, encryptRows),
  "POST /bulwark-encryption/decrypt": forCaller("api_relaxed", input.decryptInput, decryptRows),
  "POST /bulwark-encryption/find": forCaller("api_relaxed", input.findInput, findRows),
  "POST /bulwark-encryption/rotate": forCaller("api_strict", input.rotateInput, rotate),
  "POST /bulwark-encryption/work": forScheduler(
    limit,
    env.schedulerSecret,
    answering(async (request, body) => {
      const { service, keys } = asService(request, { timeoutMs: schedulerTimeoutMs });
      return await work(service, keys, parse(input.workInput, body));
    }),
  ),
});

Deno.serve(handle(answer));
