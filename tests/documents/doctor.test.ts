import { pageTest } from "./page.ts";

pageTest("docs/doctor.md");
