/**
 * Function `bulwark-api-keys`: for programs without a session.
 *
 * `POST /bulwark-api-keys/token` with the key in the header `x-api-key` answers `{ access_token,
 * token_type, expires_in }`, a token of five minutes for the Data API. `POST
 * /bulwark-api-keys/report` takes reports of leaked keys in the form of GitHub's secret scanning
 * and always answers `[]`.
 */
import { exchangeKey } from "../_bulwark/api_keys/exchange.ts";
import { isSmallReport, leakedKeys, signedBody } from "../_bulwark/api_keys/report.ts";
import { scannerKeys } from "../_bulwark/api_keys/scanner_keys.ts";
import { openSigner, type SignToken } from "../_bulwark/api_keys/signer.ts";
import { keyVerifier } from "../_bulwark/api_keys/verification.ts";
import { readApiKeysEnv } from "../_bulwark/api_keys/env.ts";
import { unwrap } from "../_bulwark/foundation/errors.ts";
import { correlationIdOf, handle } from "../_bulwark/foundation/http.ts";
import { type LimitedHandler, openLimits } from "../_bulwark/rate_limits/mod.ts";
import { clientAddress } from "../_bulwark/rate_limits/address.ts";
import { router } from "../_bulwark/foundation/router.ts";
import { serviceClient } from "../_bulwark/foundation/service.ts";

const env = readApiKeysEnv();
const limit = openLimits(env);
const verify = keyVerifier(serviceClient(env, crypto.randomUUID()));
const findScannerKey = scannerKeys(env);
let signer: Promise<SignToken> | undefined;

const charged = (handler: LimitedHandler) => limit("api_default", handler);
const signed = (request: Request) => signedBody(request, findScannerKey);

async function takeReport(request: Request, body: Uint8Array): Promise<Response> {
  const reports = leakedKeys(body);
  const client = serviceClient(env, correlationIdOf(request));
  // In batches; revocations of earlier batches stay if a later one fails.
  for (let start = 0; start < reports.length; start += 1000) {
    unwrap(
      await client.rpc("report_leaked_api_keys", { reports: reports.slice(start, start + 1000) }),
    );
  }
  return Response.json([]);
}

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
  // Small signed reports are not rate limited; a large report is charged before it is read.
  async "POST /bulwark-api-keys/report"(request) {
    if (!isSmallReport(request)) {
      return await charged(async () => takeReport(request, await signed(request)))(request);
    }
    let body: Uint8Array;
    try {
      body = await signed(request);
    } catch (thrown) {
      return await charged(() => Promise.reject(thrown))(request);
    }
    return await takeReport(request, body);
  },
});

Deno.serve(handle(answer));
