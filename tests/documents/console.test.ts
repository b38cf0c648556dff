import { pageTest } from "./page.ts";

pageTest("docs/console.md");
