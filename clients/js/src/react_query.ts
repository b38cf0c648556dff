/**
 * Options for TanStack Query 5: each call that reads as a query, each that writes as a mutation that
 * knows which queries it makes out of date.
 */
import {
  type DataTag,
  infiniteQueryOptions,
  mutationOptions,
  type QueryClient,
  type QueryKey,
  queryOptions,
  type UnusedSkipTokenOptions,
  type UseMutationOptions,
} from "@tanstack/react-query";
import type { Client, Credentials, Session } from "./client.ts";
import type { BulwarkError } from "./error.ts";
import type { ApiKeyFilter } from "./namespaces/api_keys.ts";
import type { AuditFilter } from "./namespaces/audit.ts";
import type { InvitationFilter } from "./namespaces/invitations.ts";
import type { MemberFilter } from "./namespaces/members.ts";
import type { ComplianceFilter } from "./namespaces/mfa.ts";
import type { ReviewFilter } from "./namespaces/reviews.ts";
import { deliveriesOf, type DeliveryFilter } from "./namespaces/webhooks.ts";
import { nextCursor, pageSize } from "./pages.ts";
import type { Permission } from "./permissions.ts";
import { type Namespace, queryCalls } from "./query_calls.ts";
import type { Simplify } from "./result.ts";
import type { Whoami } from "./shapes.ts";

/** Options of a query: for `useQuery`, `useSuspenseQuery`, `ensureQueryData` and the like. */
export type BulwarkQuery<Data, Key extends QueryKey, Selected = Data> =
  & UnusedSkipTokenOptions<Data, BulwarkError, Selected, Key>
  & { queryKey: DataTag<Key, Data, BulwarkError> };

/** Options of a mutation. Its variable is the array of the call's arguments; none, if it needs none. */
export type BulwarkMutation<Data, Args extends readonly unknown[]> = UseMutationOptions<
  Data,
  BulwarkError,
  Variables<Args>
>;

type Variables<Args extends readonly unknown[]> = [] extends Args ? Args | void : Args;

type Calls = typeof queryCalls;
type ArgsOf<Call> = Call extends (...args: infer Args) => unknown ? Args : never;
type DataOf<Call> = Call extends (...args: never) => Promise<infer Data> ? Data : never;

type Reads<Space extends Namespace, Part = Client<true>[Space]> = {
  readonly [Name in Calls[Space]["reads"][number]]: Name extends keyof Part ? (
      ...args: ArgsOf<Part[Name]>
    ) => BulwarkQuery<
      DataOf<Part[Name]>,
      readonly ["bulwark", Space, Name, ...ArgsOf<Part[Name]>]
    >
    : never;
};

type Writes<Space extends Namespace, Part = Client<true>[Space]> = {
  readonly [Name in keyof Calls[Space]["writes"]]: Name extends keyof Part
    ? () => BulwarkMutation<DataOf<Part[Name]>, ArgsOf<Part[Name]>>
    : never;
};

type Spaces = {
  readonly [Space in Namespace]: Simplify<
    & Reads<Space>
    & Writes<Space>
    // The beginning of the keys of all its queries.
    & { readonly queryKey: readonly ["bulwark", Space] }
  >;
};

/** Permissions and the version of that answer. */
interface KnownPermissions {
  permissions: Permission[];
  version: string;
}

type PermissionsKey = readonly ["bulwark", "permissions", string | null];

/** The options of a client's calls. */
export type BulwarkQueries =
  & Omit<
    Spaces,
    "apiKeys" | "audit" | "invitations" | "members" | "mfa" | "reviews" | "security" | "webhooks"
  >
  & {
    /** The beginning of the keys of all queries. */
    readonly queryKey: readonly ["bulwark"];
    /**
     * The signed-in user. While a component uses it, it is asked by its version each interval, which is
     * cheap. If the version changes, all other queries are out of date; if the account does, they are
     * forgotten.
     */
    whoami(): BulwarkQuery<Whoami, readonly ["bulwark", "whoami"]>;
    /** All permissions of the user in an organization, or system-wide for null. */
    permissions(organization: string | null): BulwarkQuery<KnownPermissions, PermissionsKey>;
    /** Whether the user has a permission. All of an organization share one request. */
    can(
      permission: Permission,
      organization: string | null,
    ): BulwarkQuery<KnownPermissions, PermissionsKey, boolean>;
    /** Signs in; everything known is out of date then. */
    signIn(): BulwarkMutation<Session, [Credentials]>;
    readonly apiKeys: Spaces["apiKeys"] & Pick<ReturnType<typeof lists>["apiKeys"], "all">;
    readonly audit: Spaces["audit"] & Pick<ReturnType<typeof lists>["audit"], "entries">;
    readonly invitations:
      & Spaces["invitations"]
      & Pick<ReturnType<typeof lists>["invitations"], "all">;
    readonly members: Spaces["members"] & Pick<ReturnType<typeof lists>["members"], "all">;
    readonly mfa: Spaces["mfa"] & Pick<ReturnType<typeof lists>["mfa"], "everyone">;
    readonly reviews: Spaces["reviews"] & Pick<ReturnType<typeof lists>["reviews"], "all">;
    readonly security: Spaces["security"] & Pick<ReturnType<typeof lists>["security"], "events">;
    readonly webhooks: Spaces["webhooks"] & Pick<ReturnType<typeof lists>["webhooks"], "log">;
  };

/** Options for queries. */
export interface BulwarkQueriesOptions {
  /** Milliseconds between two questions of `whoami` whether something has changed; 30,000 by default. */
  interval?: number | undefined;
}

/** No longer waits are left to people: they see the error and its `retryAfter`. */
const longestWait = 60;

/** Outages and short limits are worth another attempt; a refusal stays one. */
const patience = {
  retry: (failures: number, { status, retryAfter = 0 }: BulwarkError): boolean =>
    failures < 3 &&
    (status === 0 || status >= 500 || (status === 429 && retryAfter <= longestWait)),
  retryDelay: (failures: number, { retryAfter }: BulwarkError): number =>
    1000 * (retryAfter ?? Math.min(2 ** failures, 30)),
};

/**
 * Gives the options of all calls of a client. They need a QueryClient of TanStack Query 5.89 or newer.
 *
 *     const queries = bulwarkQueries(createBulwark(supabase, { throwOnError: true }));
 *     const members = useQuery(queries.members.list(organization));
 *     const remove = useMutation(queries.members.remove());
 *     remove.mutate([organization, user]);
 */
export function bulwarkQueries(
  client: Client<true>,
  { interval = 30_000 }: BulwarkQueriesOptions = {},
): BulwarkQueries {
  const spaces = Object.fromEntries(
    (Object.keys(queryCalls) as Namespace[]).map((space) => [space, optionsOf(client, space)]),
  ) as unknown as Spaces;
  const { apiKeys, audit, invitations, members, mfa, reviews, security, webhooks } = lists(client);
  const permissions: BulwarkQueries["permissions"] = (organization) =>
    queryOptions<KnownPermissions, BulwarkError, KnownPermissions, PermissionsKey>({
      ...patience,
      queryKey: ["bulwark", "permissions", organization],
      queryFn: async (context) => {
        const known = context.client.getQueryData<KnownPermissions>(context.queryKey);
        const told = await client.permissions(organization, known?.version);
        const names = told.permissions ?? known?.permissions ?? [];
        return { permissions: names, version: told.version };
      },
    });
  return {
    ...spaces,
    apiKeys: { ...spaces.apiKeys, ...apiKeys },
    audit: { ...spaces.audit, ...audit },
    invitations: { ...spaces.invitations, ...invitations },
    members: { ...spaces.members, ...members },
    mfa: { ...spaces.mfa, ...mfa },
    reviews: { ...spaces.reviews, ...reviews },
    security: { ...spaces.security, ...security },
    webhooks: { ...spaces.webhooks, ...webhooks },
    queryKey: ["bulwark"],
    whoami: () => ({ ...whoami(client), refetchInterval: interval }),
    permissions,
    can: (permission, organization) => ({
      ...permissions(organization),
      select: (known: KnownPermissions) => known.permissions.includes(permission),
    }),
    signIn: () => mutation(["signIn"], client.signIn, ["everything"]),
  };
}

function whoami(client: Client<true>) {
  return queryOptions<Whoami, BulwarkError, Whoami, readonly ["bulwark", "whoami"]>({
    ...patience,
    queryKey: ["bulwark", "whoami"],
    queryFn: async (context) => {
      const known = context.client.getQueryData<Whoami>(context.queryKey);
      if (!known) return await client.whoami();
      const told = await client.whoami(known.version);
      if (!told) return known;
      const others = {
        queryKey: ["bulwark"],
        predicate: ({ queryKey }: { queryKey: QueryKey }) => queryKey[1] !== "whoami",
      };
      if (told.user.id === known.user.id) void context.client.invalidateQueries(others);
      else void context.client.resetQueries(others);
      return told;
    },
  });
}

/** Lists of any length, page by page. */
function lists(
  { apiKeys, audit, invitations, members, mfa, reviews, security, webhooks }: Client<true>,
) {
  return {
    apiKeys: {
      /** Keys that match a filter, newest first. */
      all: (organization: string, filter: ApiKeyFilter = {}) => {
        const page_size = pageSize(filter.page_size);
        return infiniteQueryOptions({
          ...patience,
          queryKey: ["bulwark", "apiKeys", "all", organization, filter] as const,
          initialPageParam: filter.before,
          queryFn: ({ pageParam }) =>
            apiKeys.list(organization, { ...filter, page_size, before: pageParam }),
          getNextPageParam: (page) => nextCursor(page, page_size, ({ id }) => id),
        });
      },
    },
    audit: {
      /** Entries that match a filter, newest first. */
      entries: (filter: AuditFilter = {}) =>
        infiniteQueryOptions({
          ...patience,
          queryKey: ["bulwark", "audit", "entries", filter] as const,
          initialPageParam: filter.before,
          queryFn: ({ pageParam }) => audit.search({ ...filter, before: pageParam }),
          getNextPageParam: ({ next }) => next,
        }),
    },
    invitations: {
      /** Invitations that match a filter, newest first. */
      all: (organization: string, filter: InvitationFilter = {}) => {
        const page_size = pageSize(filter.page_size);
        return infiniteQueryOptions({
          ...patience,
          queryKey: ["bulwark", "invitations", "all", organization, filter] as const,
          initialPageParam: filter.before,
          queryFn: ({ pageParam }) =>
            invitations.list(organization, { ...filter, page_size, before: pageParam }),
          getNextPageParam: (page) =>
            nextCursor(page, page_size, ({ invitation_id }) => invitation_id),
        });
      },
    },
    members: {
      /** Members that match a filter. */
      all: (organization: string, filter: MemberFilter = {}) => {
        const page_size = pageSize(filter.page_size);
        return infiniteQueryOptions({
          ...patience,
          queryKey: ["bulwark", "members", "all", organization, filter] as const,
          initialPageParam: filter.after,
          queryFn: ({ pageParam }) =>
            members.list(organization, { ...filter, page_size, after: pageParam }),
          getNextPageParam: (page) => nextCursor(page, page_size, ({ page_key }) => page_key),
        });
      },
    },
    mfa: {
      /** Members that match a filter, and their second factors. */
      everyone: (organization: string, filter: ComplianceFilter = {}) => {
        const page_size = pageSize(filter.page_size);
        return infiniteQueryOptions({
          ...patience,
          queryKey: ["bulwark", "mfa", "everyone", organization, filter] as const,
          initialPageParam: filter.after,
          queryFn: ({ pageParam }) =>
            mfa.compliance(organization, { ...filter, page_size, after: pageParam }),
          getNextPageParam: (page) => nextCursor(page, page_size, ({ user_id }) => user_id),
        });
      },
    },
    reviews: {
      /** Every access that a review is about. */
      all: (review: string, filter: ReviewFilter = {}) => {
        const page_size = pageSize(filter.page_size);
        return infiniteQueryOptions({
          ...patience,
          queryKey: ["bulwark", "reviews", "all", review, filter] as const,
          initialPageParam: filter.after,
          queryFn: ({ pageParam }) =>
            reviews.items(review, { ...filter, page_size, after: pageParam }),
          getNextPageParam: (page) => nextCursor(page, page_size, ({ id }) => id),
        });
      },
    },
    security: {
      /** Events that match a filter, newest first; without an organization the installation's. */
      events: (
        organization: string | null,
        filter: NonNullable<Parameters<typeof security.list>[1]> = {},
      ) => {
        const page_size = pageSize(filter.page_size);
        return infiniteQueryOptions({
          ...patience,
          queryKey: ["bulwark", "security", "events", organization, filter] as const,
          initialPageParam: filter.before,
          queryFn: ({ pageParam }) =>
            security.list(organization, { ...filter, page_size, before: pageParam }),
          getNextPageParam: (page) => nextCursor(page, page_size, ({ id }) => id),
        });
      },
    },
    webhooks: {
      /** Deliveries of an endpoint that match a filter, newest first. */
      log: (endpoint: string, filter: DeliveryFilter = {}) => {
        const page_size = deliveriesOf(filter);
        return infiniteQueryOptions({
          ...patience,
          queryKey: ["bulwark", "webhooks", "log", endpoint, filter] as const,
          initialPageParam: filter.before,
          queryFn: ({ pageParam }) =>
            webhooks.deliveries(endpoint, { ...filter, page_size, before: pageParam }),
          getNextPageParam: (page) => nextCursor(page, page_size, ({ sequence }) => sequence),
        });
      },
    },
  };
}

type AnyCall = (...args: unknown[]) => Promise<unknown>;

function optionsOf(client: Client<true>, space: Namespace): object {
  const calls = client[space] as unknown as Record<string, AnyCall>;
  const { reads, writes } = queryCalls[space];
  const queries = reads.map((name) => [name, (...args: unknown[]) => {
    // Arguments that are left out make the same key as those that are undefined.
    const given = [...args];
    while (given.length > 0 && given.at(-1) === undefined) given.pop();
    return queryOptions<unknown, BulwarkError>({
      ...patience,
      queryKey: ["bulwark", space, name, ...given],
      queryFn: () => calls[name]!(...given),
    });
  }]);
  const mutations = Object.entries<readonly string[]>(writes).map(([name, changed]) => [
    name,
    () => mutation([space, name], calls[name]!, [space, ...changed]),
  ]);
  return { queryKey: ["bulwark", space], ...Object.fromEntries([...queries, ...mutations]) };
}

function mutation<Args extends readonly unknown[], Data>(
  name: readonly string[],
  call: (...args: Args) => Promise<Data>,
  changed: readonly string[],
): BulwarkMutation<Data, Args> {
  return mutationOptions<Data, BulwarkError, Variables<Args>>({
    mutationKey: ["bulwark", ...name],
    // Answers with a secret are not kept after their component has gone.
    gcTime: 0,
    mutationFn: async (args, context) => {
      try {
        return await call(...(args ?? []) as Args);
      } finally {
        // After a refusal too: it says that what the page shows is out of date.
        invalidate(context.client, changed);
      }
    },
  });
}

function invalidate(client: QueryClient, changed: readonly string[]): void {
  for (const area of new Set(changed.includes("everything") ? [null] : changed)) {
    void client.invalidateQueries({ queryKey: area === null ? ["bulwark"] : ["bulwark", area] });
  }
}
