import type { CallerClient } from "../foundation/caller.ts";
import { unwrap } from "../foundation/errors.ts";
import type { Handler } from "../foundation/http.ts";
import type { LimitedHandler } from "../rate_limits/mod.ts";
import { isSmallReport, leakedKeys, signedBody } from "./report.ts";
import type { FindScannerKey } from "./scanner_keys.ts";

/** A handler's surroundings. */
export interface ReportParts {
  /** The same handler, charged to the sender's rate limit. */
  charged(handler: LimitedHandler): Handler;
  findKey: FindScannerKey;
  serviceFor(request: Request): CallerClient;
}

/**
 * A handler for reports of leaked keys. Small signed reports are not rate limited; a large report is
 * charged before it is read.
 */
export function takeReports({ charged, findKey, serviceFor }: ReportParts): Handler {
  const take = async (request: Request, body: Uint8Array) => {
    const reports = leakedKeys(body);
    const client = serviceFor(request);
    // In batches; revocations of earlier batches stay if a later one fails.
    for (let start = 0; start < reports.length; start += 1000) {
      const batch = reports.slice(start, start + 1000);
      unwrap(await client.rpc("report_leaked_api_keys", { reports: batch }));
    }
    return Response.json([]);
  };
  return async (request) => {
    if (!isSmallReport(request)) {
      return await charged(async () => take(request, await signedBody(request, findKey)))(request);
    }
    let body: Uint8Array;
    try {
      body = await signedBody(request, findKey);
    } catch (thrown) {
      return await charged(() => Promise.reject(thrown))(request);
    }
    return await take(request, body);
  };
}
