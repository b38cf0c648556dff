import { pageTest } from "./page.ts";

pageTest("docs/own-organizations.md");
