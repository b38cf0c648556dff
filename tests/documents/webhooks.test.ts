import { pageTest } from "./page.ts";

pageTest("docs/webhooks.md");
