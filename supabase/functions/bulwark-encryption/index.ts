/** Function `bulwark-encryption`: fields of declared columns, as the bearer of the token. */
import { decryptRows, encryptRows, findRows } from "../_bulwark/encryption/access.ts";
import { readEncryptionEnv } from "../_bulwark/encryption/env.ts";
import type { EncryptionError } from "../_bulwark/encryption/errors.ts";
import { openDataKeys } from "../_bulwark/encryption/mod.ts";
import { operations } from "../_bulwark/encryption/operations.ts";
import { rotate, work } from "../_bulwark/encryption/rotation.ts";
import { answering } from "../_bulwark/foundation/answering.ts";
import type { DataClient } from "../_bulwark/foundation/clients.ts";
import { correlationIdOf, handle } from "../_bulwark/foundation/http.ts";
import { serviceClient } from "../_bulwark/foundation/service.ts";
import { readRateLimitEnv } from "../_bulwark/rate_limits/env.ts";
import { openLimits } from "../_bulwark/rate_limits/mod.ts";

const env = readEncryptionEnv();

const partsOf = ({ request, client }: { request: Request; client: DataClient }) => {
  const correlationId = correlationIdOf(request);
  const service = serviceClient(env, correlationId);
  return {
    caller: client,
    service,
    keys: openDataKeys(service, env),
    // The client does not get the exact fault of a row.
    refusal(thrown: EncryptionError) {
      console.error(`${correlationId} encryption: ${thrown.message}`);
      return thrown.refusal;
    },
  };
};

const answer = answering(operations, { env, limit: openLimits(readRateLimitEnv()) }, {
  encrypt: (call) => encryptRows(partsOf(call), call.asked),
  decrypt: (call) => decryptRows(partsOf(call), call.asked),
  find: (call) => findRows(partsOf(call), call.asked),
  rotate: (call) => rotate(partsOf(call), call.asked),
  work: ({ client, asked }) => work(client, openDataKeys(client, env), asked),
});

Deno.serve(handle(answer));
