import type { BuiltInPermissions } from "./generated/permissions.ts";

/**
 * All permissions, as keys. An application adds its own; `bulwark types` writes them from the table:
 *
 *     declare module "@bulwark/client" {
 *       interface Permissions { "invoice:approve": true }
 *     }
 */
export interface Permissions extends BuiltInPermissions {}

/** The name of a permission. */
export type Permission = keyof Permissions & string;
