import { pageTest } from "./page.ts";

pageTest("docs/cache.md");
