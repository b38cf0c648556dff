import { testPages } from "./page.ts";

// Alone: the organizations of other pages would be in its way.
testPages("docs/own-organizations.md");
