/** Function `bulwark-mfa`: second factors of the bearer of the token. */
import { openDataKeys } from "../_bulwark/encryption/mod.ts";
import { answering } from "../_bulwark/foundation/answering.ts";
import { BulwarkError } from "../_bulwark/foundation/errors.ts";
import { correlationIdOf, handle } from "../_bulwark/foundation/http.ts";
import { serviceClient } from "../_bulwark/foundation/service.ts";
import { readMfaEnv } from "../_bulwark/mfa/env.ts";
import { operations } from "../_bulwark/mfa/operations.ts";
import { handlers } from "../_bulwark/mfa/routes.ts";
import { readRateLimitEnv } from "../_bulwark/rate_limits/env.ts";
import { openLimits } from "../_bulwark/rate_limits/mod.ts";

const env = readMfaEnv();

// The limits are in addition to the throttle of attempts in the database.
const answer = answering(
  operations,
  { env, limit: openLimits(readRateLimitEnv()) },
  handlers(({ request, client }) => {
    if (!env.pepper) {
      throw new BulwarkError(503, "MFA_NOT_CONFIGURED", "Cannot answer: no pepper is set");
    }
    const service = serviceClient(env, correlationIdOf(request));
    const keys = openDataKeys(service, env);
    return { caller: client, service, keys, pepper: env.pepper };
  }),
);

Deno.serve(handle(answer));
