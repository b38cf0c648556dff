/**
 * Function `api-keys`: what a program without a session talks to.
 *
 * `POST /api-keys/token` with the key in the header `x-api-key` answers `{ access_token, token_type,
 * expires_in }`: a token of five minutes for the Data API. `POST /api-keys/report` takes reports of
 * leaked keys in the form of GitHub's secret scanning and answers `[]`, whatever was in them.
 */
import { exchangeKey } from "../_shared/api_keys/exchange.ts";
import { leakedKeys, signedBody } from "../_shared/api_keys/report.ts";
import { scannerKeys } from "../_shared/api_keys/scanner_keys.ts";
import { openSigner, type SignToken } from "../_shared/api_keys/signer.ts";
import { keyVerifier } from "../_shared/api_keys/verification.ts";
import { readApiKeysEnv } from "../_shared/env.ts";
import { unwrap } from "../_shared/errors.ts";
import { correlationIdOf, handle } from "../_shared/http.ts";
import { openLimits } from "../_shared/rate_limit.ts";
import { clientAddress } from "../_shared/rate_limit/address.ts";
import { router } from "../_shared/router.ts";
import { serviceClient } from "../_shared/service.ts";

const env = readApiKeysEnv();
const limit = openLimits(env);
const verify = keyVerifier(serviceClient(env, crypto.randomUUID()));
const findScannerKey = scannerKeys(env);
let signer: Promise<SignToken> | undefined;

const answer = router(limit, {
  // Charged by the exchange itself: to the key, or where there is none to the address.
  async "POST /api-keys/token"(request) {
    const sign = await (signer ??= openSigner(env));
    const parts = { verify, sign, issuer: `${env.url}/functions/v1/api-keys` };
    return await exchangeKey(parts, {
      apiKey: request.headers.get("x-api-key") ?? "",
      address: clientAddress(request, env),
      correlationId: correlationIdOf(request),
    });
  },
  // The signature is looked at first: no scanner is kept from reporting by how much it reports.
  async "POST /api-keys/report"(request) {
    let body: Uint8Array;
    try {
      body = await signedBody(request, findScannerKey);
    } catch (thrown) {
      // A report without a valid signature is limited like any other request.
      return await limit("api_default", () => Promise.reject(thrown))(request);
    }
    const reports = leakedKeys(body);
    const client = serviceClient(env, correlationIdOf(request));
    // As many at a time as the database takes; those that were revoked stay so if a later part fails.
    for (let start = 0; start < reports.length; start += 1000) {
      unwrap(
        await client.rpc("report_leaked_api_keys", { reports: reports.slice(start, start + 1000) }),
      );
    }
    return Response.json([]);
  },
});

Deno.serve(handle(answer));
