import { pageTest } from "./page.ts";

pageTest("docs/mfa.md");
