/** A typed client for everything of Bulwark: roles, MFA, audit log, API keys and the rest. */
export { type Client, createBulwark, type Credentials, type Session } from "./client.ts";
export type { ClientOptions, SupabaseLike } from "./calls.ts";
export { BulwarkError } from "./error.ts";
export type { AuditExportOptions, AuditExportProgress } from "./export.ts";
export type { BulwarkCode } from "./generated/codes.ts";
export type { Enums, Json, Rows } from "./generated/database.ts";
export type * from "./shapes.ts";
export type { AuditFilter } from "./namespaces/audit.ts";
export type { Subject } from "./namespaces/compliance.ts";
export type { MemberFilter } from "./namespaces/members.ts";
export type { ReviewFilter } from "./namespaces/reviews.ts";
export type { DeliveryFilter } from "./namespaces/webhooks.ts";
// Declaration merging reaches an interface through `export *` alone.
export * from "./permissions.ts";
export type { Answer, Result } from "./result.ts";
