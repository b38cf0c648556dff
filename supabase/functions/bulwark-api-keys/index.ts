/** Function `bulwark-api-keys`: for programs without a session, and for scanners of secrets. */
import { readApiKeysEnv } from "../_bulwark/api_keys/env.ts";
import { exchangeKey } from "../_bulwark/api_keys/exchange.ts";
import { operations } from "../_bulwark/api_keys/operations.ts";
import { takeReports } from "../_bulwark/api_keys/reports.ts";
import { scannerKeys } from "../_bulwark/api_keys/scanner_keys.ts";
import { openSigner, type SignToken } from "../_bulwark/api_keys/signer.ts";
import { keyVerifier } from "../_bulwark/api_keys/verification.ts";
import { answering } from "../_bulwark/foundation/answering.ts";
import { correlationIdOf, handle } from "../_bulwark/foundation/http.ts";
import { serviceClient } from "../_bulwark/foundation/service.ts";
import { clientAddress } from "../_bulwark/rate_limits/address.ts";
import { openLimits } from "../_bulwark/rate_limits/mod.ts";

const env = readApiKeysEnv();
const limit = openLimits(env);
const verify = keyVerifier(serviceClient(env, crypto.randomUUID()));
let signer: Promise<SignToken> | undefined;

const answer = answering(operations, { env, limit }, {
  async exchange(request) {
    const sign = await (signer ??= openSigner(env));
    const parts = { verify, sign, issuer: `${env.url}/functions/v1/bulwark-api-keys` };
    return await exchangeKey(parts, {
      apiKey: request.headers.get("x-api-key") ?? "",
      address: clientAddress(request, env),
      correlationId: correlationIdOf(request),
    });
  },
  report: takeReports({
    charged: (handler) => limit("api_default", handler),
    findKey: scannerKeys(env),
    serviceFor: (request) => serviceClient(env, correlationIdOf(request)),
  }),
});

Deno.serve(handle(answer));
