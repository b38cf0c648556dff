import { testPages } from "./page.ts";

testPages(
  "docs/metrics.md",
  "docs/audit.md",
  "docs/audit-verification.md",
  "docs/audit-archive.md",
  "docs/compliance.md",
  "docs/compliance-controls.md",
  "docs/encryption.md",
  "docs/webhooks.md",
  "docs/cache.md",
);
