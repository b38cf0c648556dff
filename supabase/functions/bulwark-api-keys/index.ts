/**
 * Function `bulwark-api-keys`: for programs without a session.
 *
 * `POST /bulwark-api-keys/token` with the key in the header `x-api-key` answers `{ access_token,
 * token_type, expires_in }`, a token of five minutes for the Data API. `POST
 * /bulwark-api-keys/report` takes reports of leaked keys in the form of GitHub's secret scanning
 * and always answers `[]`.
 */
import { exchangeKey } from "../_bulwark/api_keys/exchange.ts";
import { takeReports } from "../_bulwark/api_keys/reports.ts";
import { scannerKeys } from "../_bulwark/api_keys/scanner_keys.ts";
import { openSigner, type SignToken } from "../_bulwark/api_keys/signer.ts";
import { keyVerifier } from "../_bulwark/api_keys/verification.ts";
import { readApiKeysEnv } from "../_bulwark/api_keys/env.ts";
import { correlationIdOf, handle } from "../_bulwark/foundation/http.ts";
import { openLimits } from "../_bulwark/rate_limits/mod.ts";
import { clientAddress } from "../_bulwark/rate_limits/address.ts";
import { router } from "../_bulwark/foundation/router.ts";
import { serviceClient } from "../_bulwark/foundation/service.ts";

const env = readApiKeysEnv();
const limit = openLimits(env);
const verify = keyVerifier(serviceClient(env, crypto.randomUUID()));
let signer: Promise<SignToken> | undefined;

const answer = router(limit, {
  // The exchange charges the rate limit itself: the key's, or the address's if there is none.
  async "POST /bulwark-api-keys/token"(request) {
    const sign = await (signer ??= openSigner(env));
    const parts = { verify, sign, issuer: `${env.url}/functions/v1/bulwark-api-keys` };
    return await exchangeKey(parts, {
      apiKey: request.headers.get("x-api-key") ?? "",
      address: clientAddress(request, env),
      correlationId: correlationIdOf(request),
    });
  },
  "POST /bulwark-api-keys/report": takeReports({
    charged: (handler) => limit("api_default", handler),
    findKey: scannerKeys(env),
    serviceFor: (request) => serviceClient(env, correlationIdOf(request)),
  }),
});

Deno.serve(handle(answer));
