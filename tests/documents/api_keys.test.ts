import { pageTest } from "./page.ts";

pageTest("docs/api_keys.md");
