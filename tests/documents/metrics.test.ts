import { pageTest } from "./page.ts";

pageTest("docs/metrics.md");
