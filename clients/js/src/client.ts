import { type ClientOptions, first, openCalls, type SupabaseLike } from "./calls.ts";
import { BulwarkError } from "./error.ts";
import { apiKeys } from "./namespaces/api_keys.ts";
import { audit } from "./namespaces/audit.ts";
import { compliance } from "./namespaces/compliance.ts";
import { encryption } from "./namespaces/encryption.ts";
import { invitations } from "./namespaces/invitations.ts";
import { limits } from "./namespaces/limits.ts";
import { members } from "./namespaces/members.ts";
import { metrics } from "./namespaces/metrics.ts";
import { mfa } from "./namespaces/mfa.ts";
import { organizations } from "./namespaces/organizations.ts";
import { reviews } from "./namespaces/reviews.ts";
import { roles } from "./namespaces/roles.ts";
import { security } from "./namespaces/security.ts";
import { sessions } from "./namespaces/sessions.ts";
import { settings } from "./namespaces/settings.ts";
import { webhooks } from "./namespaces/webhooks.ts";
import type { Whoami } from "./shapes.ts";
import type { Permission } from "./permissions.ts";
import type { Answer } from "./result.ts";

/** Everything of Bulwark; `Throws` says whether calls give `{ data, error }` or throw. */
export interface Client<Throws extends boolean = false> {
  /**
   * The signed-in user: account, second factors, and organizations with roles and permissions. Given
   * the version of the last answer, it returns null while nothing has changed, so it can be polled.
   */
  whoami(): Promise<Answer<Whoami, Throws>>;
  whoami(knownVersion: string): Promise<Answer<Whoami | null, Throws>>;
  /** Whether the caller has a permission in an organization; without one, system-wide. */
  can(permission: Permission, organization?: string | null): Promise<Answer<boolean, Throws>>;
  /** Several permissions at once, at most 100. */
  canAll<Asked extends Permission>(
    permissions: readonly Asked[],
    organization?: string | null,
  ): Promise<Answer<Record<Asked, boolean>, Throws>>;
  /**
   * All permissions of the caller there, and their version. With the version that is known already,
   * `permissions` is null while nothing has changed: cheap enough to poll.
   */
  permissions(
    organization: string | null,
    knownVersion?: string,
  ): Promise<Answer<{ permissions: Permission[] | null; version: string }, Throws>>;
  /** Signs in through the function `bulwark-login`, which limits attempts by address and account. */
  signIn(credentials: Credentials): Promise<Answer<Session, Throws>>;
  readonly organizations: ReturnType<typeof organizations<Throws>>;
  readonly members: ReturnType<typeof members<Throws>>;
  readonly invitations: ReturnType<typeof invitations<Throws>>;
  readonly roles: ReturnType<typeof roles<Throws>>;
  readonly mfa: ReturnType<typeof mfa<Throws>>;
  readonly audit: ReturnType<typeof audit<Throws>>;
  readonly apiKeys: ReturnType<typeof apiKeys<Throws>>;
  readonly security: ReturnType<typeof security<Throws>>;
  readonly limits: ReturnType<typeof limits<Throws>>;
  readonly webhooks: ReturnType<typeof webhooks<Throws>>;
  readonly metrics: ReturnType<typeof metrics<Throws>>;
  readonly sessions: ReturnType<typeof sessions<Throws>>;
  readonly settings: ReturnType<typeof settings<Throws>>;
  readonly encryption: ReturnType<typeof encryption<Throws>>;
  readonly compliance: ReturnType<typeof compliance<Throws>>;
  readonly reviews: ReturnType<typeof reviews<Throws>>;
}

/** Of an account of Supabase Auth. */
export interface Credentials {
  email: string;
  password: string;
  captcha_token?: string | undefined;
}

/** A session of Supabase Auth, as its API gives it. */
export interface Session {
  access_token: string;
  refresh_token: string;
  expires_in: number;
  user: { id: string; email?: string; [field: string]: unknown };
  [field: string]: unknown;
}

/**
 * Opens Bulwark through a client of Supabase: supabase-js's own, or anything with `rpc`, `from` and
 * `functions`.
 */
export function createBulwark<Throws extends boolean = false>(
  supabase: SupabaseLike,
  options: ClientOptions<Throws> = {},
): Client<Throws> {
  const { calls, throwing } = openCalls(supabase, options);
  const { rpc } = calls;
  return {
    whoami: (knownVersion?: string) => rpc("whoami", { known_version: knownVersion }) as never,
    can: (permission, organization) =>
      rpc("has_permission", { permission, organization_id: organization }),
    canAll: (permissions, organization) =>
      rpc(
        "check_permissions",
        { permissions, organization_id: organization },
        (rows) => Object.fromEntries(rows.map((row) => [row.permission, row.allowed])) as never,
      ),
    permissions: (organization, knownVersion) =>
      rpc(
        "my_permissions",
        { organization_id: organization, known_version: knownVersion },
        first,
      ),
    async signIn(credentials) {
      try {
        const session = await throwing.invoke<Session>("bulwark-login", { body: credentials });
        await supabase.auth?.setSession(session);
        return (options.throwOnError ? session : { data: session, error: null }) as never;
      } catch (error) {
        if (options.throwOnError || !(error instanceof BulwarkError)) throw error;
        return { data: null, error } as never;
      }
    },
    organizations: organizations(calls),
    members: members(calls, throwing),
    invitations: invitations(calls, throwing),
    roles: roles(calls),
    mfa: mfa(calls, throwing),
    audit: audit(calls, throwing),
    apiKeys: apiKeys(calls, throwing),
    security: security(calls, throwing),
    limits: limits(calls),
    webhooks: webhooks(calls, throwing),
    metrics: metrics(calls),
    encryption: encryption(calls),
    compliance: compliance(calls, throwing),
    reviews: reviews(calls, throwing),
    sessions: sessions(calls),
    settings: settings(calls),
  };
}
