import { pageTest } from "./page.ts";

pageTest("docs/compliance.md");
