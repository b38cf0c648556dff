import { pageTest } from "./page.ts";

pageTest("docs/rate_limits.md");
