import { testPages } from "./page.ts";

testPages(
  "README.md",
  "docs/client.md",
  "docs/api.md",
  "docs/restores.md",
  "docs/errors.md",
  "docs/releases.md",
  "docs/deployment.md",
);
