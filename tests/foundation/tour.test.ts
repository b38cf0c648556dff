/** The tour is documentation that runs: every chapter holds on a stack of the tests. */
import { apiKeys } from "../../scripts/tour/api_keys.ts";
import { audit } from "../../scripts/tour/audit.ts";
import { encryption } from "../../scripts/tour/encryption.ts";
import { metrics } from "../../scripts/tour/metrics.ts";
import { mfa } from "../../scripts/tour/mfa.ts";
import { rateLimits } from "../../scripts/tour/rate_limits.ts";
import { rbac } from "../../scripts/tour/rbac.ts";
import { webhooks } from "../../scripts/tour/webhooks.ts";
import { metricsToken, publishableKey, schedulerSecret, superuserUrl, url } from "../support.ts";

const place = { url, publishableKey, superuserUrl, schedulerSecret, metricsToken };

Deno.test("the chapter rbac of the tour shows what it says", () => rbac(place));

Deno.test("the chapter audit of the tour shows what it says", () => audit(place));

Deno.test("the chapter encryption of the tour shows what it says", () => encryption(place));

Deno.test("the chapter mfa of the tour shows what it says", () => mfa(place));

Deno.test("the chapter rate_limits of the tour shows what it says", () => rateLimits(place));

Deno.test("the chapter api_keys of the tour shows what it says", () => apiKeys(place));

Deno.test("the chapter metrics of the tour shows what it says", () => metrics(place));

Deno.test("the chapter webhooks of the tour shows what it says", () => webhooks(place));
