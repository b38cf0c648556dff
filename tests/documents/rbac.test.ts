import { pageTest } from "./page.ts";

pageTest("docs/rbac.md");
