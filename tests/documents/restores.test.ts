import { pageTest } from "./page.ts";

pageTest("docs/restores.md");
