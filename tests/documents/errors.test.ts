import { pageTest } from "./page.ts";

pageTest("docs/errors.md");
