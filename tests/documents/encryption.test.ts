import { pageTest } from "./page.ts";

pageTest("docs/encryption.md");
