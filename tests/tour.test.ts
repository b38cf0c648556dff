/** The tour is documentation that runs: every chapter holds on a stack of the tests. */
import { audit } from "../scripts/tour/audit.ts";
import { metrics } from "../scripts/tour/metrics.ts";
import { rbac } from "../scripts/tour/rbac.ts";
import { metricsToken, publishableKey, schedulerSecret, superuserUrl, url } from "./support.ts";

const place = { url, publishableKey, superuserUrl, schedulerSecret, metricsToken };

Deno.test("the chapter rbac of the tour shows what it says", () => rbac(place));

Deno.test("the chapter audit of the tour shows what it says", () => audit(place));

Deno.test("the chapter metrics of the tour shows what it says", () => metrics(place));
