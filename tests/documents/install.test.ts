import { pageTest } from "./page.ts";

pageTest("docs/install.md");
