/** The tour is documentation that runs: every chapter holds on a stack of the tests. */
import { rbac } from "../scripts/tour/rbac.ts";
import { publishableKey, url } from "./support.ts";

Deno.test("the chapter rbac of the tour shows what it says", () => rbac({ url, publishableKey }));
