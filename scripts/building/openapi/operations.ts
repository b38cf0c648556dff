/** All operations of the edge functions. */
import { operations as apiKeys } from "../../../supabase/functions/_bulwark/api_keys/operations.ts";
import { operations as audit } from "../../../supabase/functions/_bulwark/audit/operations.ts";
import { operations as compliance } from "../../../supabase/functions/_bulwark/compliance/operations.ts";
import { operations as encryption } from "../../../supabase/functions/_bulwark/encryption/operations.ts";
import type { Operation } from "../../../supabase/functions/_bulwark/foundation/operation.ts";
import { operations as metrics } from "../../../supabase/functions/_bulwark/metrics/operations.ts";
import { operations as mfa } from "../../../supabase/functions/_bulwark/mfa/operations.ts";
import { operations as rateLimits } from "../../../supabase/functions/_bulwark/rate_limits/operations.ts";
import { operations as rbac } from "../../../supabase/functions/_bulwark/rbac/operations.ts";
import { operations as webhooks } from "../../../supabase/functions/_bulwark/webhooks/operations.ts";

/** The operations by capability. */
export const operations: Record<string, Record<string, Operation>> = {
  rbac,
  audit,
  encryption,
  mfa,
  rate_limits: rateLimits,
  api_keys: apiKeys,
  metrics,
  webhooks,
  compliance,
};
