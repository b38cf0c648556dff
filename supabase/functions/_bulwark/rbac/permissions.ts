import { type Cache, openCache } from "../cache/mod.ts";
import { cachedPermissions } from "../cache/cached_permissions.ts";
import { type CallerClient, claimedBy } from "../foundation/caller.ts";
import { BulwarkError, unwrap } from "../foundation/errors.ts";
import { cacheObserver } from "../metrics/mod.ts";

/** A permission of the catalogue, or one that the host application registered. */
export type Permission = `${string}:${string}`;

/** How long one request goes on with what it was told, in milliseconds. */
const toldFor = 1000;

/** The permissions that each request has read, by its client. */
const told = new WeakMap<
  CallerClient,
  Map<string, { at: number; held: Promise<ReadonlySet<string>> }>
>();

/** In memory alone, whatever Redis there is: see cachedPermissions(). */
let memory: Cache | undefined;

/**
 * Which of up to 100 permissions the client's user holds in an organization (null: system-wide).
 * Decided from the tables as they are now, not from the token. What the user holds is fetched once a
 * request, and not at all where the database says that it has not changed since the request before;
 * a no is always the database's own.
 * @throws BulwarkError RBAC_UNKNOWN_PERMISSION, RBAC_BATCH_TOO_LARGE, RBAC_NOT_AUTHENTICATED
 */
export async function checkPermissions(
  client: CallerClient,
  permissions: readonly Permission[],
  organizationId: string | null,
): Promise<Record<string, boolean>> {
  const held = await heldBy(client, organizationId);
  const rest = permissions.filter((permission) => !held.has(permission));
  // A permission that the answer leaves out is refused.
  const allowed = Object.fromEntries(permissions.map((name) => [name, held.has(name)]));
  if (rest.length === 0 && permissions.length <= 100) return allowed;
  const rows = unwrap(
    await client.rpc("check_permissions", {
      permissions: permissions.length > 100 ? [...permissions] : rest,
      ...(organizationId === null ? {} : { organization_id: organizationId }),
    }),
  );
  for (const row of rows) allowed[row.permission] = row.allowed;
  return allowed;
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

/** The permissions of the client's user, read again if the request takes long. */
function heldBy(
  client: CallerClient,
  organizationId: string | null,
): Promise<ReadonlySet<string>> {
  const name = organizationId ?? "";
  const answers = told.get(client) ?? new Map();
  told.set(client, answers);
  const known = answers.get(name);
  if (known && Date.now() - known.at < toldFor) return known.held;
  const held = askFor(client, organizationId);
  answers.set(name, { at: Date.now(), held });
  return held;
}

async function askFor(
  client: CallerClient,
  organizationId: string | null,
): Promise<ReadonlySet<string>> {
  const ask = async (knownVersion: string | null) => {
    const [row] = unwrap(
      await client.rpc("my_permissions", {
        ...(organizationId === null ? {} : { organization_id: organizationId }),
        ...(knownVersion === null ? {} : { known_version: knownVersion }),
      }),
    );
    // The function returns one row, with a null that the generated types do not know of.
    return {
      version: row?.version ?? "",
      permissions: row?.permissions as string[] | null ?? null,
    };
  };
  const holder = claimedBy(client);
  if (!holder) return new Set((await ask(null)).permissions);
  memory ??= openCache({ ...none, cachePrefix: "permissions" }, cacheObserver);
  return await cachedPermissions(memory, holder, organizationId, ask);
}

const none = { redisUrl: null, upstashUrl: null, upstashToken: null, cacheTimeoutMs: 100 };
