import { testPages } from "./page.ts";

testPages(
  "docs/rbac.md",
  "docs/mfa.md",
  "docs/security_events.md",
  "docs/api_keys.md",
  "docs/rate_limits.md",
);
