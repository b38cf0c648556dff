import type { CallerClient } from "./caller.ts";
import { BulwarkError, fromDataApi } from "./errors.ts";

/** A permission of the catalogue, or one that the host application registered. */
export type Permission = `${string}:${string}`;

/**
 * Which of up to 100 permissions the client's user holds in an organization (null: system-wide),
 * in one round trip. Decided from the tables as they are now, not from the token.
 * @throws BulwarkError RBAC_UNKNOWN_PERMISSION, RBAC_BATCH_TOO_LARGE, RBAC_NOT_AUTHENTICATED
 */
export async function checkPermissions(
  client: CallerClient,
  permissions: readonly Permission[],
  organizationId: string | null,
): Promise<Record<string, boolean>> {
  const { data, error, status } = await client.rpc("check_permissions", {
    permissions: [...permissions],
    ...(organizationId === null ? {} : { organization_id: organizationId }),
  });
  if (error) throw fromDataApi({ status, error });
  return Object.fromEntries(data.map((row) => [row.permission, row.allowed]));
}

/** Whether the client's user holds one permission. Errors as of {@link checkPermissions}. */
export async function hasPermission(
  client: CallerClient,
  permission: Permission,
  organizationId: string | null,
): Promise<boolean> {
  return (await checkPermissions(client, [permission], organizationId))[permission] === true;
}

/**
 * Guard for a function: passes when the client's user holds the permission.
 * @throws BulwarkError 403 RBAC_PERMISSION_DENIED; 403 MFA_REQUIRED where the organization requires a
 * second factor that this session has not verified; and those of {@link checkPermissions}
 */
export async function requirePermission(
  client: CallerClient,
  permission: Permission,
  organizationId: string | null,
): Promise<void> {
  if (await hasPermission(client, permission, organizationId)) return;
  const { data: withheld } = await client.rpc(
    "mfa_required",
    organizationId === null ? {} : { organization_id: organizationId },
  );
  if (withheld) {
    throw new BulwarkError(403, "MFA_REQUIRED", "Cannot proceed: a second factor is required");
  }
  throw new BulwarkError(
    403,
    "RBAC_PERMISSION_DENIED",
    `Cannot proceed: permission ${permission} is missing`,
  );
}
