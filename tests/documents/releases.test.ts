import { pageTest } from "./page.ts";

pageTest("docs/releases.md");
