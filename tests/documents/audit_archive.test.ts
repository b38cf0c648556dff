import { pageTest } from "./page.ts";

pageTest("docs/audit-archive.md");
