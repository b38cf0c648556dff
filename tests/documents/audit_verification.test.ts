import { pageTest } from "./page.ts";

pageTest("docs/audit-verification.md");
