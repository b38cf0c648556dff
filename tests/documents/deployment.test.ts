import { pageTest } from "./page.ts";

pageTest("docs/deployment.md");
