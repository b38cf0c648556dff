/**
 * Function `bulwark-mfa`: second factors of the bearer of the token, all bodies and answers in JSON.
 *
 * `GET /bulwark-mfa` says what there is; `POST /bulwark-mfa/…`: `enroll` { name }, `activate` { code }, `verify`
 * { code } of either kind, `verify-backup-code` { code }, `backup-codes` {}, `disable` { factor_id } or
 * { backup_code }, `devices` { name }, `devices/present` { token }, `devices/revoke` { device_id },
 * and for administrators `resets` { user_id, organization_id, reason }, `resets/approve` and
 * `resets/cancel` { reset_id }.
 */
import { callerClient } from "../_bulwark/foundation/caller.ts";
import { openDataKeys } from "../_bulwark/encryption/mod.ts";
import { readMfaEnv } from "../_bulwark/mfa/env.ts";
import { readRateLimitEnv } from "../_bulwark/rate_limits/env.ts";
import { BulwarkError } from "../_bulwark/foundation/errors.ts";
import { correlationIdOf, handle } from "../_bulwark/foundation/http.ts";
import { type Route, routes } from "../_bulwark/mfa/routes.ts";
import { openLimits } from "../_bulwark/rate_limits/mod.ts";
import { router } from "../_bulwark/foundation/router.ts";
import { serviceClient } from "../_bulwark/foundation/service.ts";

const env = readMfaEnv();
const limit = openLimits(readRateLimitEnv());

// In addition to the throttle of attempts in the database.
const answering = (route: Route) =>
  limit("api_default", async (request) => {
    const caller = callerClient(request, env);
    if (!env.pepper) {
      throw new BulwarkError(503, "MFA_NOT_CONFIGURED", "Cannot answer: no pepper is set");
    }
    const service = serviceClient(env, correlationIdOf(request));
    const keys = openDataKeys(service, env);
    return Response.json(await route({ caller, service, keys, pepper: env.pepper }, request));
  });
const answers = Object.entries(routes).map(([name, route]) => [name, answering(route)]);

Deno.serve(handle(router(limit, Object.fromEntries(answers))));
