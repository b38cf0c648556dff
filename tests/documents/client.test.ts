import { pageTest } from "./page.ts";

pageTest("docs/client.md");
