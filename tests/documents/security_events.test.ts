import { pageTest } from "./page.ts";

pageTest("docs/security_events.md");
