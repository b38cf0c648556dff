/**
 * Function `encryption`: the fields of declared columns in schema public, as the bearer of the token:
 *
 * `POST /encryption/encrypt` `{ table, organization_id, rows: [{ primary_key, fields }] }`: the
 * columns to write. `POST /encryption/decrypt` `{ table, columns, primary_keys }`: the texts of rows
 * that the bearer can read. `POST /encryption/find` `{ table, organization_id, column, value }`: the
 * rows with a text. `POST /encryption/rotate` `{ organization_id, purpose }`: a new data key.
 * `POST /encryption/work` is for the scheduler: re-encrypts, and rotates what it is told to.
 */
import { callerClient } from "../_shared/caller.ts";
import { decryptRows, encryptRows, findRows } from "../_shared/encryption/access.ts";
import { asAnswer } from "../_shared/encryption/answers.ts";
import {
  decryptInput,
  encryptInput,
  findInput,
  rotateInput,
  workInput,
} from "../_shared/encryption/input.ts";
import { openDataKeys } from "../_shared/encryption/mod.ts";
import { rotateDataKey, work } from "../_shared/encryption/rotation.ts";
import { readEncryptionEnv, readRateLimitEnv } from "../_shared/env.ts";
import { BulwarkError } from "../_shared/errors.ts";
import { correlationIdOf, handle, readJson } from "../_shared/http.ts";
import { parse } from "../_shared/input.ts";
import { requirePermission } from "../_shared/permissions.ts";
import { openLimits } from "../_shared/rate_limit.ts";
import { requireScheduler } from "../_shared/scheduler.ts";
import { serviceClient } from "../_shared/service.ts";

const env = readEncryptionEnv();
const pathOf = (request: Request) => new URL(request.url).pathname.replace(/\/+$/, "");

/** The scheduler has a secret; a new data key has every row of the organization re-encrypted. */
function ruleFor(request: Request): string | null {
  if (pathOf(request) === "/encryption/work") return null;
  return pathOf(request) === "/encryption/rotate" ? "api_strict" : "api_relaxed";
}

async function answer(request: Request): Promise<unknown> {
  const path = pathOf(request);
  const service = serviceClient(env, correlationIdOf(request));
  const keys = openDataKeys(service, env);
  if (path === "/encryption/work") {
    requireScheduler(request, env.schedulerSecret);
    return await work(service, keys, parse(workInput, await readJson(request)));
  }
  const access = { caller: callerClient(request, env), service, keys };
  const body = await readJson(request);
  if (path === "/encryption/encrypt") return await encryptRows(access, parse(encryptInput, body));
  if (path === "/encryption/decrypt") return await decryptRows(access, parse(decryptInput, body));
  if (path === "/encryption/find") return await findRows(access, parse(findInput, body));
  if (path !== "/encryption/rotate") {
    throw new BulwarkError(404, "NOT_FOUND", "Cannot answer: there is no such path");
  }
  const { organization_id, purpose } = parse(rotateInput, body);
  await requirePermission(access.caller, "encryption:rotate", organization_id);
  return await rotateDataKey(keys, organization_id, purpose);
}

const limit = openLimits(readRateLimitEnv());
Deno.serve(handle(
  ["POST"],
  limit(ruleFor, async (request) =>
    Response.json(
      await answer(request).catch((thrown) => asAnswer(thrown, correlationIdOf(request))),
    )),
));
